package llama

import (
	"errors"
	"strings"
	"testing"
)

func TestFit(t *testing.T) {
	// Room for 10,000 cells of 1,000 bytes, cut to 9,984.
	room := Room{Free: 20_000_000, Source: "free memory", Weights: 5_000_000, Compute: 2_000_000, Reserve: 3_000_000, PerCell: 1000}
	small := room
	small.PerCell = 2000
	for name, c := range map[string]struct {
		o              Options
		trained        int
		room           Room
		context, cells int
		reason         string
		refused        bool
	}{
		"all of the model's":       {Options{Parallel: 1}, 2048, room, 2048, 2048, "all that the model was trained for", false},
		"several contexts":         {Options{Parallel: 8}, 1024, room, 1024, 4096, "4096 cells for 8 sequences", false},
		"half of memory for many":  {Options{Parallel: 8}, 4096, room, 4096, 5120, "5120 cells for 8 sequences", false},
		"all that fits":            {Options{Parallel: 2}, 32768, room, 9984, 9984, "all that fits; the model was trained for 32768", false},
		"as asked for":             {Options{Parallel: 1, Context: 512}, 2048, room, 512, 512, "512 tokens (as asked for)", false},
		"cells asked for":          {Options{Parallel: 4, Cells: 768}, 2048, room, 768, 768, "all of the cells asked for", false},
		"more than memory":         {Options{Parallel: 1, Context: 8192}, 32768, small, 0, 0, "", true},
		"more than the model's":    {Options{Parallel: 1, Context: 4096}, 2048, room, 0, 0, "", true},
		"more cells than memory":   {Options{Parallel: 1, Context: 512, Cells: 20480}, 2048, room, 0, 0, "", true},
		"no memory at all":         {Options{Parallel: 1}, 2048, Room{Free: 1000, Weights: 2000, PerCell: 10}, 0, 0, "", true},
		"nothing known of a token": {Options{Parallel: 1}, 2048, Room{Free: 1 << 30}, 0, 0, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			context, cells, reason, err := fit(c.o, c.trained, c.room)
			var refused *ContextFitError
			if errors.As(err, &refused) != c.refused || context != c.context || cells != c.cells || !strings.Contains(reason, c.reason) {
				t.Errorf("context %d, cells %d, reason %q, error %v", context, cells, reason, err)
			}
		})
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[uint64]string{
		12: "12 B", 2048: "2.0 KiB", 15 << 20: "15 MiB", 3 << 30: "3072 MiB", 12 << 30: "12.0 GiB",
	} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}
