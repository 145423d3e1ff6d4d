package queue_test

import (
	"testing"

	"github.com/semantic-worker/semantic/queue"
)

// A token may stand where others have a user, at each URL of a list, and with
// characters that make it no URL.
func TestMaskURLs(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"":                                "",
		"nats://h:4222":                   "nats://h:4222",
		"nats://a:1,tls://b:2":            "nats://a:1,tls://b:2",
		"nats://s3cret@h":                 "nats://********@h",
		"nats://u:s3cret@h,nats://tok@h2": "nats://********@h,nats://********@h2",
		"nats://h, tls://tok@h2":          "nats://h, tls://********@h2",
		"nats://u:s/3,c@ret%zz@h:4222":    "nats://********@h:4222",
		"u:s3cret@h:4222,v:s3cret@h2":     "********@h2",
	} {
		if got := queue.MaskURLs(given); got != want {
			t.Errorf("%s is %s, want %s", given, got, want)
		}
	}
}
