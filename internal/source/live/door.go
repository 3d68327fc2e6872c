package live

import (
	"net/http"
	"net/url"
)

// Door is how another room reaches the same API server as the same user: a client with
// the credentials, which follows no redirection, and the address below which all paths
// are. This room itself only reads.
func (c *Client) Door() (client *http.Client, base *url.URL) {
	address := *c.base
	return c.http, &address
}
