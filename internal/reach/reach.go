// Package reach answers who may connect to whom, on which ports, and by which rule:
// it weighs the network policies of every kind together, as readers in its sub-rooms
// put them into one form (package netpol), over the pods, nodes and addresses of a
// snapshot. Besides, it knows the ways in from outside: Services, Ingresses, routes,
// ports and networks of nodes. It does not know what really flows, nor what filters
// packets outside of policies: the firewalls of nodes and of clouds.
//
// Every answer is three-valued. What hangs on something that was not read, or that
// is not modelled, is unknown, with the reason.
package reach
