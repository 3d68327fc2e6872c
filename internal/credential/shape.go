package credential

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// A kind names what sort of credential a value is.
type kind struct{ id, title string }

var (
	kindPassword     = kind{"password", "password"}
	kindSecret       = kind{"secret", "shared secret"}
	kindToken        = kind{"token", "token"}
	kindKey          = kind{"key", "secret key"}
	kindCredential   = kind{"credential", "credential"}
	kindBase64       = kind{"base64", "line of base64"}
	kindAWSSecret    = kind{"aws-secret-access-key", "AWS secret access key"}
	kindPrivateKey   = kind{"private-key", "private key"}
	kindGCPKey       = kind{"gcp-service-account", "Google Cloud service account key"}
	kindJWT          = kind{"jwt", "JSON Web Token"}
	kindURLPassword  = kind{"url-password", "password in a URL"}
	kindPasswordHash = kind{"password-hash", "password hash"}
	kindBasicAuth    = kind{"basic-auth", "user name and password in base64"}
	kindBearer       = kind{"bearer-token", "bearer token"}
	kindBootstrap    = kind{"kubernetes-bootstrap-token", "Kubernetes bootstrap token"}
	kindTelegram     = kind{"telegram-bot-token", "Telegram bot token"}
	kindAzureSecret  = kind{"azure-client-secret", "Azure client secret"}
)

// A charset is the set of bytes that a part of a token may hold.
type charset [256]bool

// chars returns the charset of the ranges and bytes in s: "a-z0-9_". A dash
// that stands first is itself.
func chars(s string) *charset {
	var c charset
	for i := 0; i < len(s); i++ {
		if i+2 < len(s) && s[i+1] == '-' {
			for b := int(s[i]); b <= int(s[i+2]); b++ {
				c[b] = true
			}
			i += 2
			continue
		}
		c[s[i]] = true
	}
	return &c
}

var (
	digitChars     = chars("0-9")
	lowerHexChars  = chars("0-9a-f")
	hexChars       = chars("0-9a-fA-F")
	lowerAlnum     = chars("0-9a-z")
	upperAlnum     = chars("0-9A-Z")
	base32Chars    = chars("A-Z2-7")
	alnumChars     = chars("0-9A-Za-z")
	wordChars      = chars("0-9A-Za-z_")
	base64URLChars = chars("-0-9A-Za-z_")
	base64Chars    = chars("0-9A-Za-z+/=")
	dottedChars    = chars("-0-9A-Za-z_.")
	pathChars      = chars("-0-9A-Za-z_/")
	queryChars     = chars("0-9A-Za-z%+/=")
	hashChars      = chars("-0-9A-Za-z./$+=,_")
	azureChars     = chars("-0-9A-Za-z_~.")
)

// A shape is a token that is known by a prefix: prefix, then from min to max
// bytes of the charset and no more of them.
type shape struct {
	prefix   string
	body     *charset
	min, max int
	kind
}

// longestToken bounds tokens whose makers promise no length.
const longestToken = 512

// shapes are the tokens that their makers document, or that their makers gave a
// prefix so that they can be found.
var shapes = []shape{
	{"AKIA", base32Chars, 16, 16, kind{"aws-access-key-id", "AWS access key id"}},
	{"ASIA", base32Chars, 16, 16, kind{"aws-access-key-id", "AWS temporary access key id"}},
	{"ABSK", base64Chars, 100, 300, kind{"aws-bedrock-key", "Amazon Bedrock API key"}},
	{"LTAI", alnumChars, 12, 20, kind{"alibaba-access-key-id", "Alibaba Cloud access key id"}},
	{"AIza", base64URLChars, 35, 35, kind{"google-api-key", "Google API key"}},
	{"GOCSPX-", base64URLChars, 28, 28, kind{"google-oauth-secret", "Google OAuth client secret"}},
	{"ya29.", dottedChars, 30, longestToken, kind{"google-access-token", "Google access token"}},
	// {"type":"service_account" in base64, with and without white space.
	{"ewogICJ0eXBlIjogInNlcnZpY2VfYWNjb3Vud", base64Chars, 100, 8192, kindGCPKey},
	{"eyJ0eXBlIjoic2VydmljZV9hY2NvdW50", base64Chars, 100, 8192, kindGCPKey},
	{"eyJ0eXBlIjogInNlcnZpY2VfYWNjb3Vud", base64Chars, 100, 8192, kindGCPKey},
	{"sig=", queryChars, 43, 64, kind{"azure-sas", "Azure shared access signature"}},

	{"ghp_", alnumChars, 36, 255, kind{"github-token", "GitHub personal access token"}},
	{"gho_", alnumChars, 36, 255, kind{"github-token", "GitHub OAuth token"}},
	{"ghu_", alnumChars, 36, 255, kind{"github-token", "GitHub user-to-server token"}},
	{"ghs_", dottedChars, 36, longestToken, kind{"github-token", "GitHub server-to-server token"}},
	{"ghr_", alnumChars, 36, 255, kind{"github-token", "GitHub refresh token"}},
	{"github_pat_", wordChars, 40, 255, kind{"github-token", "GitHub fine-grained access token"}},
	{"glpat-", dottedChars, 20, longestToken, kind{"gitlab-token", "GitLab personal access token"}},
	{"gldt-", dottedChars, 20, longestToken, kind{"gitlab-token", "GitLab deploy token"}},
	{"glrt-", dottedChars, 20, longestToken, kind{"gitlab-token", "GitLab runner token"}},
	{"glcbt-", dottedChars, 20, longestToken, kind{"gitlab-token", "GitLab job token"}},
	{"glptt-", dottedChars, 20, longestToken, kind{"gitlab-token", "GitLab trigger token"}},
	{"glft-", dottedChars, 20, longestToken, kind{"gitlab-token", "GitLab feed token"}},
	{"glagent-", dottedChars, 20, longestToken, kind{"gitlab-token", "GitLab agent token"}},
	{"gloas-", dottedChars, 20, longestToken, kind{"gitlab-token", "GitLab OAuth secret"}},
	{"ATATT3x", chars("-0-9A-Za-z_="), 100, longestToken, kind{"atlassian-token", "Atlassian API token"}},
	{"ATBB", alnumChars, 32, 32, kind{"bitbucket-password", "Bitbucket app password"}},
	{"npm_", alnumChars, 36, 36, kind{"npm-token", "npm access token"}},
	{"pypi-AgEIcHlwaS5vcmc", base64URLChars, 50, longestToken, kind{"pypi-token", "PyPI upload token"}},
	{"rubygems_", lowerHexChars, 48, 48, kind{"rubygems-key", "RubyGems API key"}},
	{"dckr_pat_", base64URLChars, 27, 64, kind{"docker-token", "Docker Hub access token"}},
	{"dckr_oat_", base64URLChars, 27, 64, kind{"docker-token", "Docker organisation token"}},

	{"hvs.", base64URLChars, 24, longestToken, kind{"vault-token", "HashiCorp Vault service token"}},
	{"hvb.", base64URLChars, 24, longestToken, kind{"vault-token", "HashiCorp Vault batch token"}},
	{"hvr.", base64URLChars, 24, longestToken, kind{"vault-token", "HashiCorp Vault recovery token"}},
	{"dop_v1_", lowerHexChars, 64, 64, kind{"digitalocean-token", "DigitalOcean access token"}},
	{"doo_v1_", lowerHexChars, 64, 64, kind{"digitalocean-token", "DigitalOcean OAuth token"}},
	{"dor_v1_", lowerHexChars, 64, 64, kind{"digitalocean-token", "DigitalOcean refresh token"}},
	{"tskey-", base64URLChars, 20, 100, kind{"tailscale-key", "Tailscale key"}},
	{"dapi", lowerHexChars, 32, 32, kind{"databricks-token", "Databricks access token"}},
	{"pul-", lowerHexChars, 40, 40, kind{"pulumi-token", "Pulumi access token"}},
	{"HRKU-", base64URLChars, 36, 64, kind{"heroku-key", "Heroku API key"}},
	{"K10", lowerHexChars, 64, 64, kind{"k3s-token", "K3s join token"}},
	{"ops_eyJ", base64URLChars, 250, 2048, kind{"onepassword-token", "1Password service account token"}},
	{"dp.pt.", alnumChars, 40, 44, kind{"doppler-token", "Doppler personal token"}},
	{"dp.st.", dottedChars, 40, 80, kind{"doppler-token", "Doppler service token"}},
	{"AGE-SECRET-KEY-1", upperAlnum, 58, 58, kind{"age-secret-key", "age secret key"}},
	{"AGE-SECRET-KEY-PQ-1", upperAlnum, 58, 80, kind{"age-secret-key", "age post-quantum secret key"}},
	{"RWRTY0Iy", base64Chars, 100, 300, kind{"minisign-secret-key", "minisign secret key"}},

	{"xoxb-", base64URLChars, 20, 255, kind{"slack-token", "Slack bot token"}},
	{"xoxp-", base64URLChars, 20, 255, kind{"slack-token", "Slack user token"}},
	{"xoxa-", base64URLChars, 20, 255, kind{"slack-token", "Slack workspace token"}},
	{"xoxr-", base64URLChars, 20, 255, kind{"slack-token", "Slack refresh token"}},
	{"xoxs-", base64URLChars, 20, 255, kind{"slack-token", "Slack session token"}},
	{"xoxe.xox", dottedChars, 20, 255, kind{"slack-token", "Slack configuration token"}},
	{"xapp-", base64URLChars, 20, 255, kind{"slack-token", "Slack app token"}},
	{"hooks.slack.com/services/", pathChars, 30, 100, kind{"slack-webhook", "Slack webhook URL"}},
	{"hooks.slack.com/workflows/", pathChars, 30, 100, kind{"slack-webhook", "Slack webhook URL"}},
	{"hooks.slack.com/triggers/", pathChars, 30, 100, kind{"slack-webhook", "Slack webhook URL"}},
	{"discord.com/api/webhooks/", pathChars, 60, 120, kind{"discord-webhook", "Discord webhook URL"}},
	{"discordapp.com/api/webhooks/", pathChars, 60, 120, kind{"discord-webhook", "Discord webhook URL"}},

	{"sk_live_", alnumChars, 16, 255, kind{"stripe-key", "Stripe secret key"}},
	{"rk_live_", alnumChars, 16, 255, kind{"stripe-key", "Stripe restricted key"}},
	{"sk_test_", alnumChars, 16, 255, kind{"stripe-test-key", "Stripe test key"}},
	{"rk_test_", alnumChars, 16, 255, kind{"stripe-test-key", "Stripe test key"}},
	{"whsec_", base64Chars, 24, 100, kind{"webhook-secret", "webhook signing secret"}},
	{"sq0atp-", base64URLChars, 22, 22, kind{"square-token", "Square access token"}},
	{"sq0csp-", base64URLChars, 43, 43, kind{"square-secret", "Square OAuth secret"}},
	{"EAAA", base64URLChars, 60, 60, kind{"square-token", "Square access token"}},
	{"shpat_", hexChars, 32, 32, kind{"shopify-token", "Shopify access token"}},
	{"shpss_", hexChars, 32, 32, kind{"shopify-secret", "Shopify shared secret"}},
	{"shpca_", hexChars, 32, 32, kind{"shopify-token", "Shopify custom app token"}},
	{"shppa_", hexChars, 32, 32, kind{"shopify-token", "Shopify private app token"}},
	{"SK", lowerHexChars, 32, 32, kind{"twilio-key", "Twilio API key"}},
	{"SG.", dottedChars, 66, 66, kind{"sendgrid-key", "SendGrid API key"}},
	{"key-", lowerHexChars, 32, 32, kind{"mailgun-key", "Mailgun API key"}},

	{"sk-ant-", base64URLChars, 32, 255, kind{"anthropic-key", "Anthropic API key"}},
	{"sk-proj-", base64URLChars, 40, 255, kind{"openai-key", "OpenAI project key"}},
	{"sk-svcacct-", base64URLChars, 40, 255, kind{"openai-key", "OpenAI service account key"}},
	{"sk-or-v1-", lowerHexChars, 64, 64, kind{"openrouter-key", "OpenRouter API key"}},
	{"sk-", alnumChars, 32, 64, kind{"openai-key", "API key (sk-…)"}},
	{"hf_", alnumChars, 34, 40, kind{"huggingface-token", "Hugging Face token"}},
	{"glsa_", wordChars, 41, 41, kind{"grafana-token", "Grafana service account token"}},
	{"glc_eyJ", base64Chars, 40, longestToken, kind{"grafana-token", "Grafana Cloud token"}},
	{"NRAK-", upperAlnum, 27, 27, kind{"newrelic-key", "New Relic user key"}},
	{"dt0c01.", dottedChars, 89, 89, kind{"dynatrace-token", "Dynatrace API token"}},
	{"sntrys_", chars("0-9A-Za-z+/=_"), 60, longestToken, kind{"sentry-token", "Sentry organisation token"}},
	{"sntryu_", lowerHexChars, 64, 64, kind{"sentry-token", "Sentry user token"}},
	{"lin_api_", alnumChars, 40, 40, kind{"linear-key", "Linear API key"}},
	{"PMAK-", chars("-0-9a-f"), 59, 59, kind{"postman-key", "Postman API key"}},
	{"pscale_", chars("-0-9A-Za-z_.="), 35, 80, kind{"planetscale-token", "PlanetScale credential"}},

	{"{SHA}", base64Chars, 28, 28, kindPasswordHash},
	{"{SSHA}", base64Chars, 32, 80, kindPasswordHash},
}

// shapesByFirst are the shapes by the first byte of their prefix.
var shapesByFirst = indexShapes()

func indexShapes() *[256][]shape {
	var by [256][]shape
	for _, s := range shapes {
		by[s.prefix[0]] = append(by[s.prefix[0]], s)
	}
	return &by
}

// findShape looks for a token that starts at i, and returns where it ends, or i.
func (s *scanner) findShape(i int) int {
	known := shapesByFirst[s.text[i]]
	for n := range known {
		sh := &known[n]
		if !strings.HasPrefix(s.text[i:], sh.prefix) {
			continue
		}
		from := i + len(sh.prefix)
		end := run(s.text, from, sh.body, sh.max+1)
		if n := end - from; n < sh.min || n > sh.max || isDummy(s.text[from:end]) {
			continue
		}
		s.add(sh.kind, i, end, High)
		return end
	}
	switch s.text[i] {
	case 'e':
		return s.findJWT(i)
	case 'L':
		return s.findEncodedPEM(i)
	case 'B':
		return s.findAuthorization(i)
	}
	return i
}

// findAnchored looks for a credential around the punctuation at i that marks it,
// and returns where to go on.
func (s *scanner) findAnchored(i int) int {
	switch s.text[i] {
	case '-':
		return s.findPEM(i)
	case ':':
		s.findURLPassword(i)
		s.findTelegram(i)
	case '@':
		s.findDriverPassword(i)
	case '$':
		return s.findCrypt(i)
	case '.':
		s.findBootstrapToken(i)
	case '~':
		s.findAzureSecret(i)
	}
	return i
}

// findPEM looks for a block whose label says that it holds a private key. The
// block may be cut short, or have its line feeds written as \n.
func (s *scanner) findPEM(i int) int {
	const dashes, begin, end = "-----", "-----BEGIN ", "-----END "
	if !strings.HasPrefix(s.text[i:], begin) {
		return i
	}
	labelStart := i + len(begin)
	n := strings.Index(s.text[labelStart:min(len(s.text), labelStart+64)], dashes)
	if n < 0 {
		return i
	}
	bodyStart := labelStart + n + len(dashes)
	label := s.text[labelStart : labelStart+n]
	if !strings.Contains(label, "PRIVATE KEY") {
		return bodyStart
	}
	bodyEnd := bodyStart + strings.Index(s.text[bodyStart:], dashes)
	stop := bodyEnd
	if bodyEnd < bodyStart {
		bodyEnd = len(s.text)
		stop = bodyEnd
	} else if strings.HasPrefix(s.text[bodyEnd:], end+label+dashes) {
		stop = bodyEnd + len(end) + len(label) + len(dashes)
	}
	if !hasKeyBody(s.text[bodyStart:bodyEnd]) {
		return bodyStart
	}
	k := kindPrivateKey
	if before := s.text[max(0, i-512):i]; strings.Contains(before, `service_account`) {
		k = kindGCPKey
	}
	s.add(k, i, stop, High)
	return stop
}

// hasKeyBody reports whether the body of a block holds key material, and not an
// ellipsis or the text of a comment that names the block.
func hasKeyBody(body string) bool {
	const leastRun = 32
	for i := 0; i < len(body); {
		end := run(body, i, base64Chars, leastRun)
		if end-i == leastRun {
			return !isDummy(body[i:end])
		}
		i = end + 1
	}
	return false
}

// findEncodedPEM looks for a private key block in base64, as in a kubeconfig.
func (s *scanner) findEncodedPEM(i int) int {
	if !strings.HasPrefix(s.text[i:], "LS0tLS1CRUdJTi") {
		return i
	}
	end := run(s.text, i, base64Chars, len(s.text))
	head, _ := base64.StdEncoding.DecodeString(s.text[i : i+min(end-i, 64)/4*4])
	if end-i >= 128 && strings.Contains(string(head), "PRIVATE KEY") {
		s.add(kindPrivateKey, i, end, High)
	}
	return end
}

// findJWT looks for header.payload.signature whose header is a JSON object that
// names an algorithm.
func (s *scanner) findJWT(i int) int {
	if !strings.HasPrefix(s.text[i:], "eyJ") {
		return i
	}
	const longestHeader = 4096
	headEnd := run(s.text, i, base64URLChars, longestHeader)
	if headEnd == len(s.text) || s.text[headEnd] != '.' {
		return i
	}
	bodyEnd := run(s.text, headEnd+1, base64URLChars, len(s.text))
	if bodyEnd-headEnd < 8 || bodyEnd == len(s.text) || s.text[bodyEnd] != '.' {
		return i
	}
	end := run(s.text, bodyEnd+1, base64URLChars, len(s.text))
	raw, err := base64.RawURLEncoding.DecodeString(s.text[i:headEnd])
	var head struct{ Alg, Enc string }
	if err != nil || json.Unmarshal(raw, &head) != nil || head.Alg == "" || end-bodyEnd < 17 && head.Enc == "" {
		return i
	}
	if head.Enc != "" { // an encrypted token has five parts
		end = run(s.text, end, dottedChars, len(s.text))
	}
	s.add(kindJWT, i, end, High)
	return end
}

// findAuthorization looks for the credentials of an Authorization header.
func (s *scanner) findAuthorization(i int) int {
	if from := i + len("Basic "); strings.HasPrefix(s.text[i:], "Basic ") {
		end := run(s.text, from, base64Chars, longestToken)
		if isUserAndPassword(s.text[from:end]) {
			s.add(kindBasicAuth, from, end, High)
			return end
		}
	}
	if from := i + len("Bearer "); strings.HasPrefix(s.text[i:], "Bearer ") {
		end := run(s.text, from, azureChars, longestToken)
		if v := s.text[from:end]; isRandom(v) && !isPlaceholder(v) {
			s.add(kindBearer, from, end, Medium)
			return end
		}
	}
	return i
}

// isUserAndPassword reports whether v is user:password in base64.
func isUserAndPassword(v string) bool {
	if len(v) < 8 || len(v) > longestToken {
		return false
	}
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(v, "="))
	if err != nil {
		return false
	}
	user, password, ok := strings.Cut(string(raw), ":")
	return ok && user != "" && isPrintable(string(raw)) && !isPlaceholder(password)
}

// findURLPassword looks for scheme://user:password@host at the colon of "://".
func (s *scanner) findURLPassword(i int) {
	if !strings.HasPrefix(s.text[i:], "://") || i == 0 || !alnumChars[s.text[i-1]] {
		return
	}
	from := i + len("://")
	end := from
	at, colon := -1, -1
	for ; end < len(s.text) && isUserInfo(s.text[end]); end++ {
		switch s.text[end] {
		case ':':
			if colon < 0 {
				colon = end
			}
		case '@':
			at = end
		}
	}
	if at < 0 || colon < 0 || at <= colon+1 {
		return
	}
	user, password := s.text[from:colon], s.text[colon+1:at]
	if isPlaceholder(password) || isExampleLogin(user, password) || strings.ContainsAny(password, "{}()") {
		return
	}
	s.add(kindURLPassword, colon+1, at, High)
}

// isUserInfo reports whether b may stand before the end of a URL's host.
func isUserInfo(b byte) bool {
	return b > ' ' && b < 0x7f && strings.IndexByte("/?#\"'<>`\\", b) < 0
}

// isExampleLogin reports whether a login is how documentation writes one.
func isExampleLogin(user, password string) bool {
	switch strings.ToLower(user) {
	case "user", "username", "usr", "login", "your_user", "myuser":
		switch strings.ToLower(password) {
		case "pass", "password", "passwd", "pwd", "pw", "secret", "mypassword", "mypass":
			return true
		}
	}
	return false
}

// findDriverPassword looks for user:password@tcp(host), as the Go driver of
// MySQL writes it.
func (s *scanner) findDriverPassword(i int) {
	if !strings.HasPrefix(s.text[i:], "@tcp(") && !strings.HasPrefix(s.text[i:], "@unix(") {
		return
	}
	colon := -1
	for from := i - 1; from >= max(0, i-256) && isUserInfo(s.text[from]); from-- {
		if s.text[from] == ':' {
			colon = from
		}
	}
	if colon < 0 || colon+1 >= i || isPlaceholder(s.text[colon+1:i]) {
		return
	}
	s.add(kindURLPassword, colon+1, i, High)
}

// cryptPrefixes are the password hashes of crypt(3), htpasswd and PHC strings.
var cryptPrefixes = []shape{
	{"$2a$", hashChars, 56, 56, kindPasswordHash},
	{"$2b$", hashChars, 56, 56, kindPasswordHash},
	{"$2x$", hashChars, 56, 56, kindPasswordHash},
	{"$2y$", hashChars, 56, 56, kindPasswordHash},
	{"$apr1$", hashChars, 24, 32, kindPasswordHash},
	{"$1$", hashChars, 24, 32, kindPasswordHash},
	{"$5$", hashChars, 44, 100, kindPasswordHash},
	{"$6$", hashChars, 87, 140, kindPasswordHash},
	{"$y$", hashChars, 50, 140, kindPasswordHash},
	{"$argon2", hashChars, 50, 255, kindPasswordHash},
	{"$pbkdf2", hashChars, 50, 255, kindPasswordHash},
}

func (s *scanner) findCrypt(i int) int {
	for _, sh := range cryptPrefixes {
		if !strings.HasPrefix(s.text[i:], sh.prefix) {
			continue
		}
		from := i + len(sh.prefix)
		end := run(s.text, from, sh.body, sh.max+1)
		if n := end - from; n < sh.min || n > sh.max || isDummy(s.text[from:end]) {
			return i
		}
		s.add(sh.kind, i, end, High)
		return end
	}
	return i
}

// findBootstrapToken looks for the 6.16 characters of a bootstrap token around
// the dot at i. Host names look alike, so the word token must stand before it,
// but for Mask.
func (s *scanner) findBootstrapToken(i int) {
	start, end := i-6, i+17
	if start < 0 || end > len(s.text) || !isAll(s.text[start:i], lowerAlnum) || !isAll(s.text[i+1:end], lowerAlnum) {
		return
	}
	if start > 0 && dottedChars[s.text[start-1]] || end < len(s.text) && dottedChars[s.text[end]] {
		return
	}
	if !hasAny(s.text[i+1:end], digitChars) || isDummy(s.text[i+1:end]) {
		return
	}
	if s.wide || speaksOf(s.name, "token") || speaksOf(s.text[max(0, start-48):start], "token") {
		s.add(kindBootstrap, start, end, High)
	}
}

// findTelegram looks for NUMBER:AA… around the colon at i.
func (s *scanner) findTelegram(i int) {
	if !strings.HasPrefix(s.text[i:], ":AA") {
		return
	}
	start := i
	for start > 0 && i-start < 12 && digitChars[s.text[start-1]] {
		start--
	}
	end := run(s.text, i+1, base64URLChars, 40)
	if i-start < 8 || i-start > 10 || end-i-1 != 35 || isDummy(s.text[i+3:end]) {
		return
	}
	s.add(kindTelegram, start, end, High)
}

// findAzureSecret looks for xxx8Q~… around the tilde at i.
func (s *scanner) findAzureSecret(i int) {
	start := i - 5
	if start < 0 || s.text[i-1] != 'Q' || !digitChars[s.text[i-2]] || !isAll(s.text[start:i], azureChars) {
		return
	}
	end := run(s.text, i+1, azureChars, 40)
	if n := end - i - 1; n < 31 || n > 34 || isDummy(s.text[i+1:end]) {
		return
	}
	s.add(kindAzureSecret, start, end, High)
}

// run returns the end of the bytes of c that start at i, at most most of them.
func run(text string, i int, c *charset, most int) int {
	end := i
	for end < len(text) && end-i < most && c[text[end]] {
		end++
	}
	return end
}
