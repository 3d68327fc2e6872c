package netpol_test

import (
	"testing"

	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

func TestOpen(t *testing.T) {
	half := func(text string) netpol.Expr {
		set, err := cidr.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return netpol.Address{In: set}
	}
	web := netpol.Label{Key: "app", Values: []string{"web"}}
	for name, test := range map[string]struct {
		rule netpol.Rule
		want bool
	}{
		"everyone":             {netpol.Rule{Peers: netpol.Everyone()}, true},
		"all IPv4":             {netpol.Rule{Peers: netpol.Some{web, netpol.Address{In: cidr.IPv4()}}}, true},
		"all IPv6":             {netpol.Rule{Peers: netpol.Address{In: cidr.IPv6()}}, true},
		"two halves":           {netpol.Rule{Peers: netpol.Some{half("0.0.0.0/1"), half("128.0.0.0/1")}}, true},
		"half":                 {netpol.Rule{Peers: half("0.0.0.0/1")}, false},
		"some pods":            {netpol.Rule{Peers: web}, false},
		"some of all":          {netpol.Rule{Peers: netpol.Every{netpol.Address{In: cidr.All()}, web}}, false},
		"nobody":               {netpol.Rule{Peers: netpol.Nobody()}, false},
		"all but nobody known": {netpol.Rule{Peers: netpol.Not{Of: web}}, false},
		"denied":               {netpol.Rule{Peers: netpol.Everyone(), Action: netpol.Deny}, false},
		"limited":              {netpol.Rule{Peers: netpol.Everyone(), Limits: "HTTP GET"}, false},
		"unknown":              {netpol.Rule{Peers: netpol.Everyone(), Unknown: "field x"}, false},
		"a port":               {netpol.Rule{Peers: netpol.Everyone(), Ports: netpol.Ports{Set: ports.Of(ports.TCP, 80, 80)}}, false},
		"another protocol":     {netpol.Rule{Peers: netpol.Everyone(), Ports: netpol.Ports{Set: ports.Every(ports.UDP)}}, false},
		"TCP":                  {netpol.Rule{Peers: netpol.Everyone(), Ports: netpol.Ports{Set: ports.Every(ports.TCP)}}, true},
	} {
		r := test.rule
		if r.Action == 0 {
			r.Action = netpol.Allow
		}
		if r.Ports.Set.Empty() {
			r.Ports = netpol.AllPorts()
		}
		if got := r.Open(); got != test.want {
			t.Errorf("%s: open is %v", name, got)
		}
	}
}
