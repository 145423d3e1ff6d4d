package queue

import (
	"net/url"
	"strings"
)

// redact removes passwords from the URLs of a connection string.
func redact(urls string) string {
	list := strings.Split(urls, ",")
	for i, one := range list {
		if u, err := url.Parse(strings.TrimSpace(one)); err == nil {
			list[i] = u.Redacted()
		}
	}
	return strings.Join(list, ",")
}
