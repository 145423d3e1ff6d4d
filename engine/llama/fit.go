package llama

import "fmt"

// Room is the memory arithmetic behind a context, in bytes.
type Room struct {
	// Free is what Source has left before the model is loaded.
	Free uint64
	// Source says what kind of memory, like "free memory" or "limit of the
	// control group".
	Source string
	// Weights, Compute and Reserve are taken off: the model, the buffers of a
	// step, and what is left for everybody else.
	Weights, Compute, Reserve uint64
	// PerCell is what one token of the KV cache takes.
	PerCell uint64
}

// left is what the KV cache may take.
func (r Room) left() uint64 {
	taken := r.Weights + r.Compute + r.Reserve
	if taken > r.Free {
		return 0
	}
	return r.Free - taken
}

// cells is how many cells fit, a multiple of minContext.
func (r Room) cells() int {
	if r.PerCell == 0 {
		return 0
	}
	n := r.left() / r.PerCell
	return int(min(n, 1<<30)) / minContext * minContext
}

func (r Room) String() string {
	return fmt.Sprintf("%s of %s less %s weights, %s compute buffers and %s reserve leave %s, at %s a token",
		size(r.Free), r.Source, size(r.Weights), size(r.Compute), size(r.Reserve), size(r.left()), size(r.PerCell))
}

// contextShares is how many contexts of full length the cache is made for at
// most where memory allows: sequences share the cells, most are far from full,
// and more cells only cost memory and time at start.
const contextShares = 4

// fit chooses the context and the number of cells, and says why. A step's cost
// follows the highest cell in use, not the size of the cache, so a large cache
// costs nothing but memory.
func fit(o Options, trained int, r Room) (context, cells int, reason string, err error) {
	most := r.cells()
	refuse := func(context, cells int) error {
		return &ContextFitError{
			Context: context, Cells: cells, Trained: trained, Fits: most, Need: uint64(cells) * r.PerCell, Room: r,
		}
	}
	context = o.Context
	switch {
	case context > trained:
		return 0, 0, "", refuse(context, max(context, o.Cells))
	case context == 0:
		context = min(trained, max(most, minContext))
		if o.Cells != 0 {
			context = min(context, o.Cells)
		}
	}
	if context > most || o.Cells > most {
		return 0, 0, "", refuse(context, max(context, o.Cells))
	}
	cells = o.Cells
	if cells == 0 {
		cells = min(min(o.Parallel, contextShares)*context, max(context, most/2))
		cells = (cells + minContext - 1) / minContext * minContext
		cells = min(cells, max(most, context))
	}
	why := "as asked for"
	switch {
	case o.Context != 0:
	case context == trained:
		why = "all that the model was trained for"
	case o.Cells == context:
		why = "all of the cells asked for"
	default:
		why = fmt.Sprintf("all that fits; the model was trained for %d", trained)
	}
	reason = fmt.Sprintf("context %d tokens (%s); %d cells for %d sequences take %s; %s",
		context, why, cells, o.Parallel, size(uint64(cells)*r.PerCell), r)
	return context, cells, reason, nil
}

// size writes a number of bytes for people.
func size(n uint64) string {
	const unit = 1024
	switch {
	case n >= 10*unit*unit*unit:
		return fmt.Sprintf("%.1f GiB", float64(n)/(unit*unit*unit))
	case n >= 10*unit*unit:
		return fmt.Sprintf("%.0f MiB", float64(n)/(unit*unit))
	case n >= unit:
		return fmt.Sprintf("%.1f KiB", float64(n)/unit)
	default:
		return fmt.Sprintf("%d B", n)
	}
}

// Memory is what ProbeMemory found, in bytes.
type Memory struct {
	// Free is what this process can still take without harm to others.
	Free uint64
	// Total is the machine's.
	Total uint64
	// Source says what bounds Free, for people.
	Source string
}
