#!/bin/sh
# The first process of a node: kubeadm init with the kubelet and containerd, in mount,
# PID, network, UTS and IPC namespaces of their own and in a root of their own. Nothing
# outlives it, and nothing outside changes but that empty control groups stay.
#
#	node.sh ROOT OUT BIN...
#
# ROOT has the node's own files, OUT images.tar and the script look, which is run when
# the node is set up and before all is over; the programs are in the folders BIN.
set -eu
root=$1 out=$2
shift 2

mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mkdir -p proc sys dev run tmp usr opt out var/lib/containerd
for dir in usr lib lib64 bin sbin; do
	if [ -L "/$dir" ]; then ln -sf "$(readlink "/$dir")" "$dir"; elif [ -d "/$dir" ]; then
		mkdir -p "$dir" && mount --bind "/$dir" "$dir" && mount -o remount,bind,ro "$dir"
	fi
done
mount --rbind /sys sys
mount --rbind /dev dev
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs var/lib/containerd
mount --bind "$out" out
PATH=/usr/sbin:/usr/bin:/sbin:/bin
for bin in "$@"; do
	PATH=/opt/$#:$PATH
	mkdir "opt/$#"
	mount --bind "$bin" "opt/$#"
	shift
done
# The kubelet sets these for the whole machine: here it finds them set.
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
	file=run/$(echo "${setting%=*}" | tr / .)
	echo "${setting#*=}" >"$file"
	mount --bind "$file" "proc/sys/${setting%=*}"
done
mkdir -p old
pivot_root . old
cd /
umount -l /old
rmdir /old
mount --make-rshared /
export PATH HOME=/root

hostname cp1
ip link set lo up
ip link add node0 type bridge
ip addr add 10.99.0.1/24 dev node0
ip link set node0 up
ip route add default via 10.99.0.254

containerd >/out/containerd.log 2>&1 &
until ctr version >/dev/null 2>&1; do sleep 0.1; done
ctr -n k8s.io images import /out/images.tar >/out/import.log 2>&1
(
	until [ -f /var/lib/kubelet/config.yaml ]; do sleep 0.1; done
	while :; do
		. /var/lib/kubelet/kubeadm-flags.env
		kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf \
			--config=/var/lib/kubelet/config.yaml $KUBELET_KUBEADM_ARGS >>/out/kubelet.log 2>&1 || sleep 0.3
	done
) &
kubeadm init --config /kubeadm.yaml --ignore-preflight-errors=all --skip-phases=addon >/out/kubeadm.log 2>&1
sh -eu /out/look
