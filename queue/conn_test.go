package queue

import (
	"errors"
	"testing"
	"time"
)

// TestRefusedReply: a refused message that nobody waits for, as a worker's reply to a
// prefix that is not its own, fails no request that happens to be under way.
func TestRefusedReply(t *testing.T) {
	l := newLink()
	l.set(true, nil)
	try, cancel := l.refusable(t.Context(), time.Minute)
	defer cancel()
	for _, subject := range []string{"_INBOX.ann.1", "replies.1", wakeFilter("m"), arrivalsSubject("ann", "j"), controlSubject("w")} {
		l.refused(&ForbiddenError{Subject: subject})
		if try.Err() != nil {
			t.Fatalf("%s: %v", subject, forbidden(try))
		}
	}
	l.refused(&ForbiddenError{Subject: apiPrefix + "INFO"})
	if err := forbidden(try); !errors.Is(err, ErrForbidden) {
		t.Errorf("its own refusal: %v", err)
	}
}
