package credential

import (
	"path"
	"strings"
)

// FindArgs returns the credentials in a command line: the command and its
// arguments in order. It reads --password=x, --password x, the short flags of
// well-known programs (mysql -px), NAME=x, URLs, and shell text as in sh -c "…".
func FindArgs(args []string) []ArgMatch {
	var out []ArgMatch
	scanners := make([]scanner, len(args))
	var words []word
	for i, arg := range args {
		scanners[i].text = arg
		scanners[i].scan()
		words = append(words, word{arg: i, start: 0, text: arg})
	}
	findFlags(scanners, words, 0)
	for i := range scanners {
		for _, m := range scanners[i].matches() {
			out = append(out, ArgMatch{Arg: i, Match: m})
		}
	}
	return out
}

// A word is a part of an argument that a program sees as one argument. An empty
// one ends a command of the shell.
type word struct {
	arg, start int
	text       string
}

// deepestShell bounds shells that start shells.
const deepestShell = 3

// findFlags looks for flags whose value is the next word or attached to a short
// flag, in the words and in the shell text that they hold.
func findFlags(scanners []scanner, words []word, depth int) {
	var tool map[string]kind
	for i, w := range words {
		if w.text == "" {
			tool = nil
			continue
		}
		if depth < deepestShell && strings.ContainsAny(w.text, " \n") {
			findFlags(scanners, shellWords(w), depth+1)
			continue
		}
		if !strings.HasPrefix(w.text, "-") {
			if t, ok := shortFlags[path.Base(w.text)]; ok && (i == 0 || !strings.HasPrefix(words[i-1].text, "-")) {
				tool = t
			}
			continue
		}
		hasNext := i+1 < len(words) && !strings.HasPrefix(words[i+1].text, "-")
		s := &scanners[w.arg]
		if hasNext && strings.IndexByte(w.text, '=') < 0 {
			next := words[i+1]
			if c, ok := claimOf(strings.TrimLeft(w.text, "-")); ok {
				scanners[next.arg].addClaimed(c, next.start, next.start+len(next.text), standsAlone)
			}
			if k, ok := tool[w.text+" "]; ok {
				scanners[next.arg].addFlagValue(k, next.start, next.text)
			}
		}
		if len(w.text) > 2 && w.text[1] != '-' {
			if k, ok := tool[w.text[:2]]; ok {
				s.addFlagValue(k, w.start+2, w.text[2:])
			}
		}
	}
}

// addFlagValue records the value of a flag that is known to take a credential.
func (s *scanner) addFlagValue(k kind, start int, v string) {
	if k == kindBasicAuth {
		user, password, _ := strings.Cut(v, ":")
		start, v = start+len(user)+1, password
	}
	if len(v) > 2 && isQuote(v[0]) && v[len(v)-1] == v[0] {
		start, v = start+1, v[1:len(v)-1]
	}
	if !isPlaceholder(v) && !isPath(v) {
		s.add(kindPassword, start, start+len(v), Medium)
	}
}

// shortFlags are the flags of programs that take a password: "-p" with the value
// attached, "-p " with the value in the next word. Basic auth is user:password.
var shortFlags = func() map[string]map[string]kind {
	attached := map[string]kind{"-p": kindPassword}
	both := map[string]kind{"-p": kindPassword, "-p ": kindPassword}
	auth := map[string]kind{"-a ": kindPassword}
	user := map[string]kind{"-u ": kindBasicAuth, "-u": kindBasicAuth, "--user ": kindBasicAuth}
	bind := map[string]kind{"-w ": kindPassword, "-w": kindPassword}
	sql := map[string]kind{"-P ": kindPassword, "-P": kindPassword}
	return map[string]map[string]kind{
		"mysql": attached, "mysqldump": attached, "mysqladmin": attached, "mysqlcheck": attached,
		"mariadb": attached, "mariadb-dump": attached, "mariadb-admin": attached,
		"sshpass": both, "mongo": both, "mongosh": both, "mongodump": both, "mongorestore": both, "mongoexport": both,
		"redis-cli": auth, "redis-benchmark": auth,
		"curl":   user,
		"sqlcmd": sql, "bcp": sql,
		"ldapsearch": bind, "ldapadd": bind, "ldapmodify": bind, "ldapwhoami": bind, "ldapdelete": bind,
	}
}()

// shellWords splits shell text at blanks and at the signs that end a command.
// Quotes around a word are not part of it; a program's escapes are left alone.
func shellWords(w word) []word {
	var out []word
	text := w.text
	for i := 0; i < len(text); {
		if strings.IndexByte(commandEnds, text[i]) >= 0 {
			out = append(out, word{arg: w.arg, start: w.start + i})
			i++
			continue
		}
		if isSpace(text[i]) {
			i++
			continue
		}
		end := shellWordEnd(text, i)
		from, to := i, end
		if to-from >= 2 && isQuote(text[from]) && text[to-1] == text[from] {
			from, to = from+1, to-1
		}
		out = append(out, word{arg: w.arg, start: w.start + from, text: text[from:to]})
		i = end
	}
	return out
}

// commandEnds are the signs between the commands of a shell text.
const commandEnds = ";&|()\n"

func shellWordEnd(text string, i int) int {
	var quote byte
	for ; i < len(text); i++ {
		switch b := text[i]; {
		case b == '\\' && quote != '\'':
			i++
		case quote != 0:
			if b == quote {
				quote = 0
			}
		case isQuote(b):
			quote = b
		case isSpace(b) || strings.IndexByte(commandEnds, b) >= 0:
			return i
		}
	}
	return min(i, len(text))
}
