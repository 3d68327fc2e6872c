package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// ask shows the fixes one by one, as they were proven, and asks for each whether it is
// to be made. When some are not, the rest is proven again: a fix may have needed another.
func (m *mender) ask(ctx context.Context, env Env) error {
	answers := bufio.NewScanner(env.Stdin)
	all := map[string]bool{} // the rules of which all are to be made
	some := false
	for _, d := range m.mends {
		if !d.made() || all[d.finding.Rule] {
			continue
		}
		if err := m.show(env, d); err != nil {
			return err
		}
		switch answer(env.Stderr, answers) {
		case "y":
		case "a":
			all[d.finding.Rule] = true
		case "n":
			d.refused, some = "you said no", true
		default: // the end
			return usagef("left before the end: nothing was changed")
		}
	}
	if !some {
		return nil
	}
	for _, d := range m.mends {
		d.fresh = d.made()
	}
	return m.mend(ctx)
}

// show tells what one fix is about, what it may stop, and what it changes by itself.
func (m *mender) show(env Env, d *mend) error {
	fmt.Fprintf(env.Stderr, "\n%s: %s (%s, %s)\n", d.finding.Object, visible(d.finding.Message), d.finding.Rule, d.finding.Severity)
	if d.fix.Breaks != "" {
		fmt.Fprintf(env.Stderr, "It may stop %s.\n", visible(d.fix.Breaks))
	}
	after, _ := d.home.apply(m.before, []wanted{d.wanted()})
	alone := mender{fixOptions: m.fixOptions, before: m.before, after: after}
	env.Stdout = env.Stderr
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if err := m.printDiff(env, alone.diff(name)); err != nil {
			return err
		}
	}
	return nil
}

// answer asks until one of the letters comes; the end of the input is q.
func answer(w io.Writer, answers *bufio.Scanner) string {
	for {
		fmt.Fprint(w, "Make this change? [y]es, [n]o, [a]ll of this rule, [q]uit: ")
		if !answers.Scan() {
			fmt.Fprintln(w)
			return "q"
		}
		switch text := strings.ToLower(strings.TrimSpace(answers.Text())); text {
		case "y", "n", "a", "q":
			return text
		case "yes", "no", "all", "quit":
			return text[:1]
		}
	}
}
