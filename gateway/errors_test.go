package gateway

import (
	"net/http"
	"testing"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// The table and the contract name the same codes: none is missing, none is
// answered that no client can look up.
func TestErrorTableCoversEveryCode(t *testing.T) {
	table := answers()
	for _, code := range schemas.Codes() {
		a, ok := table[code]
		if !ok {
			t.Errorf("%s: not in the table", code)
			continue
		}
		if a.status < 400 || a.status > 599 {
			t.Errorf("%s: status %d is no error", code, a.status)
		}
		if got := openai.TypeOf(code); (got == openai.TypeServer) != (a.status >= 500) {
			t.Errorf("%s: status %d and type %s disagree on whose fault it is", code, a.status, got)
		}
		if (a.retry == retryYes) != (a.after > 0) {
			t.Errorf("%s: Retry-After %v with retry %v: whoever is told to retry is told when", code, a.after, a.retry)
		}
		if a.status >= 500 && a.retry == retryByStatus {
			t.Errorf("%s: SDKs retry every 5xx; the table must say whether that helps", code)
		}
		delete(table, code)
	}
	for code := range table {
		t.Errorf("%s: in the table, not in schemas.Codes", code)
	}
}

func TestUnknownCodeIsAnsweredAsInternal(t *testing.T) {
	if got := answerFor("from_a_newer_worker"); got.status != http.StatusInternalServerError || got.retry != retryNo {
		t.Errorf("got %+v", got)
	}
}
