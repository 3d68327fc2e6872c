package host

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/process"
)

func words(args ...string) (list []word) {
	for _, a := range args {
		list = append(list, word{text: a})
	}
	return list
}

// summary prints what a command line came to: component name=value …, and why not all
// is known.
func summary(c command, ok bool) string {
	if !ok {
		return "none"
	}
	out := c.component
	for _, f := range c.flags() {
		out += " " + f.Name + "=" + f.Value
	}
	if c.unread != "" {
		out += " ?"
	}
	return out
}

func TestCommandLines(t *testing.T) {
	env := map[string]word{"ARGS": {text: "--a=1 --b"}, "NAME": {text: "x y"}, "EMPTY": {}}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"kube-apiserver", "--a=1", "--b", "2", "--c", "--d=", "-v=2", "-v", "3", "--n", "-5"}, "kube-apiserver a=1 b=2 c=true d= v=2 v=3 n=-5"},
		{[]string{"/usr/local/bin/kube-apiserver", "--a=b=c,d=e", "--a_b=1", "pos", "--", "--z=1"}, "kube-apiserver a=b=c,d=e a-b=1"},
		{[]string{"etcd", "-data-dir=/d", "-", "---x=1", "--=1", "--"}, "etcd data-dir=/d"},
		{[]string{"hyperkube", "kubelet", "--a=1"}, "kubelet a=1"},
		{[]string{"/hyperkube", "apiserver", "--a=1"}, "kube-apiserver a=1"},
		{[]string{"hyperkube", "controller-manager"}, "kube-controller-manager"},
		{[]string{"hyperkube", "--help"}, "none"},
		{[]string{"/usr/local/bin/k3s", "server", "--token", "SECRET", "--disable=traefik"}, "k3s token=48 bit disable=traefik"},
		{[]string{"k3s", "agent"}, "k3s-agent"},
		{[]string{"k3s", "kubectl", "get"}, "none"},
		{[]string{"rke2", "server"}, "rke2-server"},
		{[]string{"/usr/local/bin/k0s", "controller", "--single=true"}, "k0scontroller single=true"},
		{[]string{"/go-runner", "--log-file=/var/log/x", "/usr/local/bin/kube-proxy", "--a=1"}, "kube-proxy a=1"},
		{[]string{"tini", "--", "kube-scheduler", "--a=1"}, "kube-scheduler a=1"},
		{[]string{"/bin/sh", "-c", "exec kube-apiserver --a=1 --b='x y' \\\n --c=\"$NAME\" $ARGS ${EMPTY} 1>>/var/log/a 2>&1"}, "kube-apiserver a=1 b=x y c=x y a=1 b=true"},
		{[]string{"sh", "-ec", "kube-apiserver --a=1"}, "kube-apiserver a=1"},
		{[]string{"bash", "-c", "/usr/bin/kubelet --a=1 >/dev/null"}, "kubelet a=1"},
		{[]string{"sh", "-c", "sleep 1; exec /bin/kube-apiserver --a=1"}, "kube-apiserver ?"},
		{[]string{"sh", "-c", "kube-apiserver --a=$(cat /x)"}, "kube-apiserver ?"},
		{[]string{"sh", "-c", "kube-apiserver --a=$UNKNOWN"}, "kube-apiserver ?"},
		{[]string{"sh", "-c", "kube-apiserver --a='x"}, "kube-apiserver ?"},
		{[]string{"sh", "-c", "echo kubernetes"}, "none"},
		{[]string{"sh", "script"}, "none"},
		{[]string{"sh", "-c"}, "none"},
		{[]string{"tail", "-f", "kubelet"}, "none"},
		{[]string{"vim", "/etc/kubernetes/manifests/kube-apiserver"}, "none"},
		{[]string{"kubelet-helper", "--a"}, "none"},
		{[]string{""}, "none"},
		{nil, "none"},
	} {
		if got := summary(parseCommand(words(test.args...), env)); got != test.want {
			t.Errorf("%q:\n got %s\nwant %s", test.args, got, test.want)
		}
	}
}

// A process is known by what it calls itself, or by its program.
func TestProcessCommands(t *testing.T) {
	for want, p := range map[string]process.Process{
		"kubelet a=1":                   {Args: []string{"kubelet", "--a=1"}, Exe: "/srv/everything"},
		"kube-apiserver b=1":            {Args: []string{"renamed", "--b=1"}, Exe: "/usr/bin/kube-apiserver"},
		"kube-scheduler":                {Args: []string{"/opt/kube-scheduler"}},
		"etcd c=1":                      {Args: []string{"etcd:", "--c=1"}},
		"kube-controller-manager ?":     {Comm: "kube-controller"},
		"none":                          {Args: []string{"sh", "-c", "kubelet --a=1"}, Exe: "/bin/dash"},
		"containerd config=/etc/c.toml": {Args: []string{"/usr/bin/containerd", "--config", "/etc/c.toml"}},
	} {
		if got := summary(processCommand(&p)); got != want {
			t.Errorf("%+v: got %s, want %s", p, got, want)
		}
	}
}

// Whatever a command line holds, each word gives one flag at most, and no name has
// what no name can have.
func FuzzCommand(f *testing.F) {
	f.Add("kube-apiserver\x00--a=1\x00--b\x002")
	f.Add("sh\x00-c\x00exec kubelet --a=\"$X\" '")
	f.Add("hyperkube\x00kubelet\x00-v\x00=")
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\x00")
		c, ok := parseCommand(words(args...), map[string]word{"X": {text: "a b"}})
		if !ok {
			return
		}
		if c.component == "" {
			t.Error("a component without a name")
		}
		flags := c.flags()
		if len(flags) > len(c.args) {
			t.Errorf("%d flags of %d words", len(flags), len(c.args))
		}
		for _, flag := range flags {
			if flag.Name == "" || strings.ContainsAny(flag.Name, "= \t\n/_") {
				t.Errorf("the flag %q", flag.Name)
			}
		}
		if again := fmt.Sprint(c.flags()); again != fmt.Sprint(flags) {
			t.Error("not the same twice")
		}
	})
}

// The flag in force is the last one.
func TestFlagTwice(t *testing.T) {
	cmd, _ := parseCommand(words("kubelet", "--a=1", "--a=2"), nil)
	c := evidence.Component{Flags: cmd.flags()}
	if f, ok := c.Flag("a"); !ok || f.Value != "2" || len(c.Flags) != 2 {
		t.Errorf("%+v", c.Flags)
	}
}
