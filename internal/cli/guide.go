package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

func newGuide(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "guide",
		Short: "The ledger: every recommendation of the guide, and what proves it",
		Args:  wrongArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var format string
	list := &cobra.Command{
		Use:   "list",
		Short: "List every recommendation",
		Args:  wrongArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return printList(env.Stdout, format, guide.All(), func(w io.Writer) {
				section := ""
				for _, r := range guide.All() {
					if r.Section != section {
						section = r.Section
						fmt.Fprintf(w, "\n%s\n", section)
					}
					fmt.Fprintf(w, "  %s\t%s\t%s\n", r.ID, r.Severity, r.Title)
				}
			})
		},
	}
	listFormat(list, &format)
	cmd.AddCommand(list, &cobra.Command{
		Use:   "show ID",
		Short: "Show one recommendation: what is asked, why, what proves it, and the traps",
		Args:  wrongArgs(cobra.ExactArgs(1)),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return recommendationIDs(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			r, ok := guide.Find(args[0])
			if !ok {
				return usagef("no recommendation %q%s", args[0], didYouMean(args[0], recommendationIDs()))
			}
			return env.writeHelp(recommendationHelp(r))
		},
	})
	return cmd
}

// recommendationHelp is the help of a row with the rules that serve it, in
// Markdown.
func recommendationHelp(r guide.Recommendation) string {
	var b strings.Builder
	b.WriteString(strings.TrimRight(r.Help(), "\n") + "\n")
	if served := serving(r.ID); len(served) > 0 {
		b.WriteString("\n## Rules\n\n")
		for _, c := range served {
			fmt.Fprintf(&b, "- `%s`: %s\n", c.ID, c.Title)
		}
	}
	return b.String()
}

func serving(id string) (list []*check.Check) {
	for _, c := range checks.All() {
		if c.Recommendation == id {
			list = append(list, c)
		}
	}
	return list
}

func recommendationIDs() (ids []string) {
	for _, r := range guide.All() {
		ids = append(ids, r.ID)
	}
	return ids
}

func ruleIDs() (ids []string) {
	for _, c := range checks.All() {
		ids = append(ids, c.ID)
	}
	return ids
}

func newExplain(env Env) *cobra.Command {
	return &cobra.Command{
		Use:   "explain ID",
		Short: "Offline help of a recommendation or a rule",
		Example: `  gabion explain POD-05
  gabion explain privileged-container`,
		Args: wrongArgs(cobra.ExactArgs(1)),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return append(recommendationIDs(), ruleIDs()...), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if r, ok := guide.Find(args[0]); ok {
				return env.writeHelp(recommendationHelp(r))
			}
			c, ok := checks.Find(args[0])
			if !ok {
				return usagef("no recommendation or rule %q%s", args[0], didYouMean(args[0], append(recommendationIDs(), ruleIDs()...)))
			}
			return env.writeHelp(explainRule(c))
		},
	}
}

// explainRule is the help of a rule, in Markdown.
func explainRule(c *check.Check) string {
	r, _ := guide.Find(c.Recommendation)
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s%s.\n\n", c.ID, strings.ToUpper(c.Title[:1]), c.Title[1:])
	fmt.Fprintf(&b, "Severity %s. Serves %s, %s (%s).\n\n", c.Severity, r.ID, r.Title, r.Section)
	b.WriteString(strings.TrimSpace(c.Doc) + "\n\n")
	if c.Leaves.What != "" {
		fmt.Fprintf(&b, "Files do not show, and leave open: %s.\n\n", c.Leaves.What)
	}
	fmt.Fprintf(&b, "To put it right: %s.\n\n", c.Remedy)
	fmt.Fprintf(&b, "To accept it on one object: the annotation `gabion.dev/except.%s: \"reason\"`, or an entry in a file given with --exceptions.\n", c.ID)
	return b.String()
}

func newRules(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "The rules that recommendations are judged by",
		Args:  wrongArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var format string
	list := &cobra.Command{
		Use:   "list",
		Short: "List every rule, the recommendation it serves and the evidence it needs",
		Args:  wrongArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			rules := ruleList()
			return printList(env.Stdout, format, rules, func(w io.Writer) {
				fmt.Fprintf(w, "RULE\tRECOMMENDATION\tSEVERITY\tFAULT\tNEEDS\n")
				for _, r := range rules {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.ID, r.Recommendation, r.Severity, r.Title, needed(r.Needs))
				}
			})
		},
	}
	listFormat(list, &format)
	cmd.AddCommand(list)
	return cmd
}

// rule is one line of `rules list`.
type rule struct {
	ID             string         `json:"id"`
	Title          string         `json:"title"`
	Recommendation string         `json:"recommendation"`
	Severity       guide.Severity `json:"severity"`
	Needs          []string       `json:"needs"`
	Remedy         string         `json:"remedy"`
}

func ruleList() []rule {
	var rules []rule
	for _, c := range checks.All() {
		r := rule{ID: c.ID, Title: c.Title, Recommendation: c.Recommendation, Severity: c.Severity, Remedy: c.Remedy}
		for _, f := range c.Needs {
			r.Needs = append(r.Needs, string(f))
		}
		rules = append(rules, r)
	}
	return rules
}

// needed names facts for people.
func needed(facts []string) string {
	if len(facts) == len(evidence.Facts()) {
		return "all objects"
	}
	return strings.Join(facts, ", ")
}

func listFormat(cmd *cobra.Command, format *string) {
	cmd.Flags().StringVarP(format, "output", "o", "table", "table, json or yaml")
}

// printList prints a list for people or for machines.
func printList(out io.Writer, format string, list any, table func(io.Writer)) error {
	switch format {
	case "table":
		w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
		table(w)
		return w.Flush()
	case "json":
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(list)
	case "yaml":
		text, err := yaml.Marshal(list)
		if err == nil {
			_, err = out.Write(text)
		}
		return err
	}
	return usagef("--output %q: want table, json or yaml", format)
}

// didYouMean names the candidate that is nearest to a mistyped word.
func didYouMean(word string, candidates []string) string {
	best, distance := "", 4
	for _, c := range candidates {
		if d := editDistance(strings.ToLower(word), strings.ToLower(c)); d < distance {
			best, distance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j]+1, row[j+1]+1, cost)
		}
	}
	return row[len(b)]
}
