package credential

import "strings"

// A claim is what the name of a setting says about its value.
type claim struct {
	kind
	// isPassword: people choose it, so that any text may be the value.
	// Otherwise a machine makes it, and the value has to look made.
	isPassword bool
	// isEncoded: the value is user:password in base64, as docker and npm keep it.
	isEncoded bool
	// isVague: other words follow the noun, or it is a plural. The value has to
	// look random.
	isVague bool
	// isQualified: a word says what the secret is for ("client secret"), so that
	// it is hardly the name of a Secret.
	isQualified bool
	// name of the setting.
	name string
}

// stemAt reports whether one of the stems that every name with a claim holds
// starts at i, in any case.
func stemAt(text string, i int) bool {
	rest := text[i:]
	switch rest[0] | 0x20 {
	case 'p':
		return hasFold(rest, "pass") || hasFold(rest, "pw") || hasFold(rest, "psw")
	case 's':
		return hasFold(rest, "secret") || hasFold(rest, "salt")
	case 't':
		return hasFold(rest, "token")
	case 'k':
		return hasFold(rest, "key")
	case 'c':
		return hasFold(rest, "cred")
	case 'a':
		return hasFold(rest, "auth")
	}
	return false
}

var stemStarts = chars("pPsStTkKcCaA")

// hasFold reports whether text starts with a word of small letters, in any case.
func hasFold(text, word string) bool {
	if len(text) < len(word) {
		return false
	}
	for i := range len(word) {
		if text[i]|0x20 != word[i] {
			return false
		}
	}
	return true
}

// mayClaim is a quick test that says no to most names.
func mayClaim(name string) bool {
	for i := range len(name) {
		if stemAt(name, i) {
			return true
		}
	}
	return false
}

// speaksOf reports whether word, in small letters, is part of the text in any case.
func speaksOf(text, word string) bool {
	return strings.Contains(strings.ToLower(text), word)
}

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

var (
	passwordWords = set("password passwd passphrase passcode pass pwd pw psw requirepass masterauth")

	// notPasswords end like a password and are none.
	notPasswords = set("bypass compass encompass surpass trespass overpass underpass")

	// keyQualifiers before "key" make it a secret; any other key may be the key
	// of a map.
	keyQualifiers = set(`access account admin aes api app application auth cipher client cookie crypt
		crypto csrf decryption deploy encrypt encryption fernet hmac ingest integration jwt license
		management master nonce private recovery root rpc rsa seal secret secure server service session
		shared sign signature signing ssh ssl storage subscription symmetric tls unseal webhook wireguard write`)

	// namesBefore "secret" tell that it is the name of a Secret.
	namesBefore = set(`existing pull tls ssl cert certificate certificates image imagepull registry ca
		external kube kubernetes target source`)

	// notBefore a noun: what follows is a number, an opt-out or public.
	notBefore = set(`max min num total public next page continue continuation eos bos pad unk cancel cancellation resume
		should expect must will`)

	// afterNoun are words behind the noun that change nothing: DB_PASSWORD_PROD.
	afterNoun = set(`value data base b text txt plain plaintext string str prod production dev development
		staging stage test default old new current previous primary secondary admin root encoded raw
		hash hashed hex literal local`)

	// aboutNoun are words behind the noun that speak of something about the
	// credential, not of the credential: TOKEN_TTL, secretName.
	aboutNoun = set(`account accounts admission age alg algorithm algorithms annotation api arg arn
		attempts attribute audience audiences auth authentication authenticator authorization backend
		binding bucket cache ca cert certificate certs change check checker claim claims class
		client cleaner cleanup column complexity conf config configmap configuration content controller count created
		crt days description dialect digest dir directory disabled driver duration enable enabled encoding
		encryption endpoint endpoints engine entry env event events exchange expiration expire expires expiry
		feature field file filename files filter flow folder format function generation generator getter grant
		group groups handler header headers hint history host hostname hours id identifier ids index info
		ini input injection interval issuer item json key keyring keys kind label labels leeway length lifetime limit
		limits list loader location manager max md message method min minutes mode mount name names
		namespace namespaces number only operator option options output owner param parameter path paths
		pattern period permission permissions plugin policies policy pool port prefix process projection
		prompt properties property provider providers pub public purpose rate ref reference references refresh refs
		regex region request requests required requirement requirements reset resolver resource resources
		response retries review reviewer reviews revision role roles rotate rotation rule rules scheme scope
		scopes script seconds selector selectors server service set settings sha size source sources spec
		stage state status storage store strategy subject suffix support sync syncer table template
		threshold through time timeout title toml tool topic ttl type types uid uri url urls usage use user
		username users validation validator validity var variable variables version versions volume volumes
		webhook xml yaml yml`)
)

// claimOf reads a name: the noun near its end, the words before and after it.
func claimOf(name string) (claim, bool) {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		name = name[i+1:]
	}
	switch strings.ToLower(strings.Trim(name, "_-.")) {
	case "neo4j_auth", "rediscli_auth":
		return claim{kind: kindPassword, isPassword: true, name: name}, true
	case "auth":
		return claim{kind: kindBasicAuth, isEncoded: true, name: name}, true
	}
	words := split(name)
	last := len(words) - 1
	for last > 0 && afterNoun[words[last]] {
		last--
	}
	if last < 0 {
		return claim{}, false
	}
	if c, ok := nounAt(words, last); ok {
		c.name = name
		return c, true
	}
	if words[last] == "id" && last > 0 && words[last-1] == "secret" { // AppRole of Vault
		return claim{kind: kindSecret, name: name}, true
	}
	if aboutNoun[words[last]] {
		return claim{}, false
	}
	for i := last - 1; i >= 0; i-- {
		if c, ok := nounAt(words, i); ok {
			c.name, c.isVague = name, true
			return c, true
		}
	}
	return claim{}, false
}

// nounAt reads word i as the noun of a credential.
func nounAt(words []string, i int) (claim, bool) {
	w, before := words[i], ""
	if i > 0 {
		before = words[i-1]
	}
	if notBefore[before] {
		return claim{}, false
	}
	one, plural := strings.CutSuffix(w, "s")
	if strings.HasSuffix(w, "ss") { // pass
		one, plural = w, false
	}
	var c claim
	switch {
	case isPasswordWord(one):
		c = claim{kind: kindPassword, isPassword: true}
	case strings.HasSuffix(one, "secret"):
		if namesBefore[before] {
			return claim{}, false
		}
		c = claim{kind: kindSecret, isQualified: before != "" || one != "secret"}
	case strings.HasSuffix(one, "token"):
		c = claim{kind: kindToken, isQualified: before != "" || one != "token"}
	case one == "key" && keyQualifiers[before],
		one != "key" && strings.HasSuffix(one, "key") && keyQualifiers[strings.TrimSuffix(one, "key")],
		strings.HasSuffix(one, "apikey"), strings.HasSuffix(one, "accesskey"), strings.HasSuffix(one, "secretkey"):
		c = claim{kind: kindKey, isQualified: true}
	case one == "credential" || one == "cred":
		return claim{kind: kindCredential}, true
	case one == "salt":
		c = claim{kind: kindSecret}
	default:
		return claim{}, false
	}
	c.isVague = plural
	return c, true
}

func isPasswordWord(w string) bool {
	if passwordWords[w] {
		return true
	}
	for _, suffix := range []string{"password", "passwd", "passphrase", "pass"} {
		if strings.HasSuffix(w, suffix) {
			return !notPasswords[w]
		}
	}
	return false
}

// longestName bounds the names that are read.
const longestName = 256

// split returns the words of a name in lower case, without digits at their end:
// "dbPassword2" is db, password.
func split(name string) []string {
	if len(name) > longestName {
		name = name[len(name)-longestName:]
	}
	var words []string
	start := 0
	flush := func(end int) {
		w := strings.TrimRight(name[start:end], "0123456789")
		if w != "" {
			words = append(words, strings.ToLower(w))
		}
	}
	for i := 0; i < len(name); i++ {
		switch {
		case !alnumChars[name[i]]:
			flush(i)
			start = i + 1
		case i > start && isUpper(name[i]) && (!isUpper(name[i-1]) || i+1 < len(name) && isLower(name[i+1])):
			flush(i)
			start = i
		}
	}
	flush(len(name))
	return words
}

func isUpper(b byte) bool { return b >= 'A' && b <= 'Z' }
func isLower(b byte) bool { return b >= 'a' && b <= 'z' }
func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }
