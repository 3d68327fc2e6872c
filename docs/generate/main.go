// Command generate writes the parts of docs/ that are made from the code: the
// ledger, the rules, the comparison with the CIS benchmark, the commands and their
// man pages. A test compares them with what stands there.
//
//	go run ./docs/generate docs
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/cli"
	"github.com/gabion-k8s/gabion/internal/guide"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: generate FOLDER")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	files, err := pages()
	if err != nil {
		return err
	}
	for _, folder := range []string{"cli", "man"} {
		if err := os.RemoveAll(filepath.Join(dir, folder)); err != nil {
			return err
		}
	}
	for name, data := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// pages returns every generated file by its name below docs/.
func pages() (map[string][]byte, error) {
	cis, err := cisPage()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"guide.md": ledger(), "rules.md": rules(), "cis.md": cis}
	root := cli.Command()
	root.InitDefaultCompletionCmd("completion")
	err = commands(root, files)
	return files, err
}

const generated = "<!-- Made by `make docs`: do not edit. -->\n\n"

// ledger is the page of all recommendations.
func ledger() []byte {
	var b bytes.Buffer
	b.WriteString("# The ledger\n\n" + generated)
	fmt.Fprintf(&b, "Every recommendation of the %s, in our own words. `gabion guide show ID` prints one of them.\n", guide.Title)
	served := map[string][]*check.Check{}
	for _, c := range checks.All() {
		served[c.Recommendation] = append(served[c.Recommendation], c)
	}
	section := ""
	for _, r := range guide.All() {
		if r.Section != section {
			section = r.Section
			fmt.Fprintf(&b, "\n## %s\n\n| id | recommendation | severity | rules |\n|---|---|---|---|\n", section)
			for _, row := range guide.All() {
				if row.Section == section {
					fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %s |\n", row.ID, anchor(row), cell(row.Title), row.Severity, links(served[row.ID]))
				}
			}
		}
		b.WriteString("\n" + demote(strings.TrimSpace(r.Help())) + "\n")
	}
	return b.Bytes()
}

// anchor is how the heading of a recommendation is linked to.
func anchor(r guide.Recommendation) string {
	heading, _, _ := strings.Cut(strings.TrimLeft(r.Help(), "# "), "\n")
	return slug(heading)
}

func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z':
			return r
		}
		return -1
	}, strings.ToLower(heading))
}

func links(list []*check.Check) string {
	var names []string
	for _, c := range list {
		names = append(names, fmt.Sprintf("[%s](rules.md#%s)", c.ID, c.ID))
	}
	return strings.Join(names, ", ")
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// demote makes the headings of a text two levels smaller.
func demote(text string) string {
	lines := strings.Split(text, "\n")
	code := false
	for i, l := range lines {
		if strings.HasPrefix(l, "```") {
			code = !code
		}
		if !code && strings.HasPrefix(l, "#") {
			lines[i] = "##" + l
		}
	}
	return strings.Join(lines, "\n")
}

// rules is the page of all checks.
func rules() []byte {
	var b bytes.Buffer
	b.WriteString("# Rules\n\n" + generated)
	b.WriteString("Every rule, in the order of the guide. `gabion explain ID` prints one of them.\n\n")
	b.WriteString("| rule | fault | recommendation | severity | needs |\n|---|---|---|---|---|\n")
	for _, c := range checks.All() {
		var needs []string
		for _, f := range c.Needs {
			needs = append(needs, string(f))
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %s | %s |\n", c.ID, c.ID, cell(c.Title), c.Recommendation, c.Severity, strings.Join(needs, ", "))
	}
	for _, c := range checks.All() {
		fmt.Fprintf(&b, "\n## %s\n\n%s%s. Severity %s, %s.\n\n", c.ID, strings.ToUpper(c.Title[:1]), c.Title[1:], c.Severity, c.Recommendation)
		fmt.Fprintf(&b, "%s\n\n", demote(strings.TrimSpace(c.Doc)))
		if c.Leaves.What != "" {
			fmt.Fprintf(&b, "Files do not show, and leave open: %s.\n\n", c.Leaves.What)
		}
		fmt.Fprintf(&b, "To put it right: %s.\n", strings.TrimSuffix(c.Remedy, "."))
	}
	return b.Bytes()
}

// commands adds a page and a man page of a command and of those below it.
func commands(cmd *cobra.Command, files map[string][]byte) error {
	if cmd.Hidden || cmd.Name() == "help" {
		return nil
	}
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
	var page, man bytes.Buffer
	if err := doc.GenMarkdown(cmd, &page); err != nil {
		return err
	}
	header := &doc.GenManHeader{Title: strings.ToUpper(name), Section: "1", Source: "gabion", Manual: "Gabion"}
	if err := doc.GenMan(cmd, header, &man); err != nil {
		return err
	}
	files["cli/"+strings.ReplaceAll(cmd.CommandPath(), " ", "_")+".md"] = page.Bytes()
	files["man/"+name+".1"] = withoutDate(man.Bytes())
	for _, sub := range cmd.Commands() {
		if err := commands(sub, files); err != nil {
			return err
		}
	}
	return nil
}

// withoutDate drops the date of the run from a man page's header.
func withoutDate(man []byte) []byte {
	lines := bytes.SplitAfter(man, []byte("\n"))
	for i, l := range lines {
		if fields := bytes.SplitN(l, []byte(`"`), 7); bytes.HasPrefix(l, []byte(".TH")) && len(fields) == 7 {
			fields[5] = nil
			lines[i] = bytes.Join(fields, []byte(`"`))
		}
	}
	return bytes.Join(lines, nil)
}
