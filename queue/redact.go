package queue

import (
	"regexp"
	"strings"
)

// masked stands for what is not shown.
const masked = "********"

// nextURL is where another one begins in a list.
var nextURL = regexp.MustCompile(`,\s*[A-Za-z]+://`)

// MaskURLs hides who connects, in a list of broker URLs with commas between: user and
// password, or the token that stands alone. It is for lines and errors, and hides
// rather too much of what is no URL.
func MaskURLs(urls string) string {
	var all strings.Builder
	for {
		one, rest := urls, ""
		if next := nextURL.FindStringIndex(urls); next != nil {
			one, rest = urls[:next[0]], urls[next[0]+1:]
		}
		all.WriteString(maskURL(one))
		if rest == "" {
			return all.String()
		}
		all.WriteByte(',')
		urls = rest
	}
}

func maskURL(one string) string {
	at := strings.LastIndexByte(one, '@')
	if at < 0 {
		return one
	}
	scheme, _, ok := strings.Cut(one[:at], "://")
	if !ok {
		return masked + one[at:]
	}
	return scheme + "://" + masked + one[at:]
}
