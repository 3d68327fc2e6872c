#!/bin/sh
# Puts what this node's programs print of what runs, listens and is set here into
# DIR/gabion, for `gabion scan --host-root DIR` where DIR is a copy of the node's files
# and not the node. Run it as root. Nothing is changed outside of DIR. Arguments of
# programs can hold credentials: keep the folder like one.
#
#	sh texts.sh DIR [NODE]
#
# With the name of the Node, kubectl asks its kubelet for its configuration as well.
set -eu
dir=${1:?the folder to write to} node=${2:-}
umask 077
mkdir -p "$dir/gabion"

# put FILE COMMAND...: what a program prints, if it is there and has something to say
put() {
	file=$dir/gabion/$1
	shift
	if ! "$@" >"$file" 2>/dev/null || [ ! -s "$file" ]; then rm -f "$file"; fi
}

put ps.txt ps -ww -eo pid,user,args
put ss.txt ss -tulnp
[ -e "$dir/gabion/ss.txt" ] || put netstat.txt netstat -tulpn
put ip-addr.txt ip -o addr
put nft.json nft -j list ruleset
if [ ! -e "$dir/gabion/nft.json" ]; then
	put iptables-save.txt iptables-save
	put ip6tables-save.txt ip6tables-save
fi
put uname.txt uname -a
put sysctl.txt sysctl -a
put mount.txt mount
put df.txt df -k
put dpkg.txt dpkg -l
put rpm.txt rpm -qa
for program in kubelet containerd crio; do
	"$program" --version 2>/dev/null || true
done >"$dir/gabion/versions.txt"
[ -z "$node" ] || put configz.json kubectl get --raw "/api/v1/nodes/$node/proxy/configz"

# What the kernel has of SELinux and AppArmor; folders without it say that it has none.
mkdir -p "$dir/sys/kernel" "$dir/sys/fs" "$dir/sys/module"
[ ! -d /sys/module/apparmor ] || mkdir -p "$dir/sys/module/apparmor"
for file in module/apparmor/parameters/enabled kernel/security/apparmor/profiles fs/selinux/enforce; do
	[ -e "/sys/$file" ] || continue
	mkdir -p "$dir/sys/${file%/*}"
	cat "/sys/$file" >"$dir/sys/$file"
done
