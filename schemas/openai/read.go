package openai

import (
	"math"
	"strconv"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
)

// reader takes one value into the request.
type reader = func(*decoder, strictjson.Value, *strictjson.Path) error

// ofKind accepts every value of one kind and takes none.
func ofKind(k strictjson.Kind) reader {
	return func(_ *decoder, v strictjson.Value, at *strictjson.Path) error {
		if v.Kind != k {
			return strictjson.Want(k, v, at)
		}
		return nil
	}
}

func anything(*decoder, strictjson.Value, *strictjson.Path) error { return nil }

// word accepts a string among some, the others of its kind being unsupported.
func word(words ...string) reader {
	return func(_ *decoder, v strictjson.Value, at *strictjson.Path) error {
		if v.Kind != strictjson.String {
			return strictjson.Want(strictjson.String, v, at)
		}
		if !isWord(words...)(v) {
			return unsupported(at, "%s is not supported; only %s is", quoted(v), words[0])
		}
		return nil
	}
}

// nested reads an object by the rows of a scope.
func nested(kind string) reader {
	return func(d *decoder, v strictjson.Value, at *strictjson.Path) error { return d.object(v, kind, at) }
}

func text(field func(*decoder) *string) reader {
	return func(d *decoder, v strictjson.Value, at *strictjson.Path) error {
		if v.Kind != strictjson.String {
			return strictjson.Want(strictjson.String, v, at)
		}
		*field(d) = v.Text
		return nil
	}
}

func flag(field func(*decoder) *bool) reader {
	return func(d *decoder, v strictjson.Value, at *strictjson.Path) error {
		if v.Kind != strictjson.Bool {
			return strictjson.Want(strictjson.Bool, v, at)
		}
		*field(d) = v.True()
		return nil
	}
}

// number leaves the range, least … most, to [schemas.Job.Validate], but for what
// no float64 holds.
func number(least, most float64, field func(*schemas.Job) **float64) reader {
	return func(d *decoder, v strictjson.Value, at *strictjson.Path) error {
		f, ok := v.Float()
		switch {
		case v.Kind != strictjson.Number:
			return strictjson.Want(strictjson.Number, v, at)
		case !ok:
			return invalid(at, "must be %g … %g, not %s", least, most, v.Short())
		}
		*field(d.job) = &f
		return nil
	}
}

// whole reads an integer that is least … most.
func whole(least, most int64, field func(*decoder) **int) reader {
	return func(d *decoder, v strictjson.Value, at *strictjson.Path) error {
		i, err := integer(v, at, least, most)
		if err != nil {
			return err
		}
		n := int(i)
		*field(d) = &n
		return nil
	}
}

// integer reads an integer that is least … most.
func integer(v strictjson.Value, at *strictjson.Path, least, most int64) (int64, error) {
	if v.Kind != strictjson.Number {
		return 0, strictjson.Want(strictjson.Number, v, at)
	}
	i, exact := v.Int()
	f, finite := v.Float()
	switch {
	case exact && least <= i && i <= most:
		return i, nil
	case exact, !finite, f <= float64(least), f >= float64(most):
		return 0, invalid(at, "must be %d … %d, not %s", least, most, v.Short())
	}
	return 0, invalid(at, "must be an integer, not %s", v.Short())
}

// tokens reads a list of token ids.
func tokens(v strictjson.Value, at *strictjson.Path) ([]int32, error) {
	if v.Kind != strictjson.Array {
		return nil, strictjson.Want(strictjson.Array, v, at)
	}
	ids := make([]int32, 0, len(v.Items))
	for i, item := range v.Items {
		id, err := integer(item, at.Index(i), 0, math.MaxInt32)
		if err != nil {
			return nil, err
		}
		ids = append(ids, int32(id))
	}
	return ids, nil
}

func readSeed(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	i, err := integer(v, at, math.MinInt64, math.MaxInt64)
	d.job.Seed = &i
	return err
}

// readTopK takes vLLM's −1, which is "all" like 0.
func readTopK(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	i, err := integer(v, at, -1, math.MaxInt32)
	if err != nil || i == -1 {
		return err
	}
	k := int(i)
	d.job.TopK = &k
	return nil
}

func readStop(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	if v.Kind == strictjson.String {
		if v.Text == "" {
			return invalid(at, "must not be empty")
		}
		d.job.Stop = []string{v.Text}
		return nil
	}
	if v.Kind != strictjson.Array {
		return invalid(at, "must be a string or a list of strings, not %s", v.Kind)
	}
	for i, item := range v.Items {
		if item.Kind != strictjson.String {
			return strictjson.Want(strictjson.String, item, at.Index(i))
		}
		d.job.Stop = append(d.job.Stop, item.Text)
	}
	return nil
}

func readStopTokens(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	ids, err := tokens(v, at)
	if len(ids) > 0 {
		d.job.StopTokens = ids
	}
	return err
}

// readBias takes an empty list, too, which is how PHP writes an empty object.
func readBias(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	if isEmptyMap(v) {
		return nil
	}
	if v.Kind != strictjson.Object {
		return strictjson.Want(strictjson.Object, v, at)
	}
	d.job.LogitBias = make(map[string]float64, len(v.Members))
	for _, m := range v.Members {
		bias, ok := m.Value.Float()
		switch {
		case m.Value.Kind != strictjson.Number:
			return strictjson.Want(strictjson.Number, m.Value, at.Field(m.Name))
		case !ok:
			return invalid(at.Field(m.Name), "must be %d … %d, not %s", -schemas.MaxBias, schemas.MaxBias, m.Value.Short())
		}
		d.job.LogitBias[m.Name] = bias
	}
	return nil
}

func readTopLogprobs(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	i, err := integer(v, at, 0, schemas.MaxTopLogprobs)
	d.job.TopLogprobs = int(i)
	return err
}

func readServiceTier(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	if v.Kind != strictjson.String {
		return strictjson.Want(strictjson.String, v, at)
	}
	switch v.Text {
	case "auto", "default":
		d.req.Class = schemas.ClassNormal
	case "flex":
		d.req.Class = schemas.ClassBatch
	case "priority", "fast":
		d.req.Class = schemas.ClassInteractive
	default:
		return unsupported(at, "must be auto, default, flex, priority or fast")
	}
	return nil
}

// quoted repeats a client's word at a bounded length.
func quoted(v strictjson.Value) string { return strconv.QuoteToASCII(v.Short()) }
