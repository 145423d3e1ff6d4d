package schemas

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
)

// Validate reports the first field that cannot be accepted, as a
// [*FieldError].
func (w WorkerStatus) Validate() error {
	// A newer release's is what ReadWorkerStatus makes of it.
	if w.Version < 1 {
		return badVersion(w.Version)
	}
	if err := checkWords(
		word{"id", w.ID}, word{"incarnation", w.Incarnation}, word{"fingerprint", w.Fingerprint}, word{"backend", w.Backend},
	); err != nil {
		return err
	}
	if err := checkName("model", w.Model); err != nil {
		return err
	}
	for _, t := range []word{
		{"host", w.Host}, {"release", w.Release}, {"architecture", w.Architecture},
		{"quantisation", w.Quantisation}, {"context_reason", w.ContextReason}, {"metrics_addr", w.MetricsAddr},
	} {
		if err := checkText(t.field, t.text); err != nil {
			return err
		}
	}
	return checkCounts(
		count{"context", w.Context}, count{"context_trained", w.ContextTrained},
		count{"cells", w.Cells}, count{"cells_free", w.CellsFree},
		count{"capacity", w.Capacity}, count{"running", w.Running},
	)
}

// MaxJobID bounds the characters of a job id.
const MaxJobID = 128

// ValidJobID reports whether id can be a job's id: one token of a subject and
// one part of a [ChunkID].
func ValidJobID(id string) bool {
	if id == "" || len(id) > MaxJobID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// readable reports whether documents of a version are read here: those of older
// releases are, since a version only adds.
func readable(v int) bool { return v >= 1 && v <= Version }

func badVersion(v int) *FieldError {
	if v > Version {
		return invalid("v", "must be at most %d, not %d", Version, v)
	}
	return invalid("v", "must be at least 1, not %d", v)
}

// checkText refuses what JSON could not carry unchanged.
func checkText(field, text string) error {
	if !utf8.ValidString(text) {
		return invalid(field, "is not valid UTF-8")
	}
	return nil
}

func checkName(field, name string) error {
	if name == "" {
		return invalid(field, "must not be empty")
	}
	if n := utf8.RuneCountInString(name); n > MaxName {
		return invalid(field, "must have at most %d characters, not %d", MaxName, n)
	}
	return checkText(field, name)
}

type word struct{ field, text string }

// checkWords wants every text to be there.
func checkWords(words ...word) error {
	for _, w := range words {
		if w.text == "" {
			return invalid(w.field, "must not be empty")
		}
		if err := checkText(w.field, w.text); err != nil {
			return err
		}
	}
	return nil
}

type count struct {
	field string
	n     int
}

func checkCounts(counts ...count) error {
	for _, c := range counts {
		if c.n < 0 {
			return invalid(c.field, "must not be negative")
		}
	}
	return nil
}

func checkTokens(field string, tokens []int32) error {
	for i, t := range tokens {
		if t < 0 {
			return invalid(fmt.Sprintf("%s[%d]", field, i), "must not be negative")
		}
	}
	return nil
}

// checkInteger wants a number between least and most, or none.
func checkInteger(field string, value *int, least, most int) error {
	if value == nil || *value >= least && *value <= most {
		return nil
	}
	return invalid(field, "must be %d … %d, not %d", least, most, *value)
}

// checkObject wants a JSON object, as strict as the documents themselves are read.
func checkObject(field string, text []byte) error {
	v, err := strictjson.Parse(text)
	if err != nil {
		return invalid(field, "must be a JSON object: %v", err)
	}
	if v.Kind != strictjson.Object {
		return invalid(field, "must be a JSON object, not %s", v.Kind)
	}
	return nil
}

// sorted walks a map in the order of its names, so that of several faults it is
// always the same one that is reported.
func sorted[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !yield(name, m[name]) {
				return
			}
		}
	}
}

// member is the path of a member with a name that anybody chose.
func member(field, name string) string {
	return (*strictjson.Path)(nil).Field(field).Field(name).String()
}

func isSHA256(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// quote repeats a stranger's word in an error, at a bounded length.
func quote(s string) string {
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return strconv.QuoteToASCII(s)
}
