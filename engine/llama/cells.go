package llama

import "github.com/semantic-worker/semantic/engine"

// cellTable is the shadow of the KV cache: which cell each position of each
// sequence uses. The numbers are ours, not llama.cpp's; only how many are in
// use, and by how many, is the same.
type cellTable struct {
	// of[seq][pos] is a cell.
	of [][]int32
	// users counts the sequences of each cell; free lists the cells without.
	users []uint16
	free  []int32
}

func newCellTable(sequences, cells int) *cellTable {
	t := &cellTable{of: make([][]int32, sequences), users: make([]uint16, cells), free: make([]int32, cells)}
	for i := range t.free {
		t.free[i] = int32(cells - 1 - i)
	}
	return t
}

func (t *cellTable) length(seq engine.SeqID) int32 { return int32(len(t.of[seq])) }

func (t *cellTable) used() int { return len(t.users) - len(t.free) }

// grow gives a sequence one more position; there must be a free cell.
func (t *cellTable) grow(seq engine.SeqID) {
	last := len(t.free) - 1
	cell := t.free[last]
	t.free = t.free[:last]
	t.users[cell] = 1
	t.of[seq] = append(t.of[seq], cell)
}

// cut drops the positions from … end of a sequence.
func (t *cellTable) cut(seq engine.SeqID, from int32) {
	cells := t.of[seq]
	for _, cell := range cells[from:] {
		t.users[cell]--
		if t.users[cell] == 0 {
			t.free = append(t.free, cell)
		}
	}
	t.of[seq] = cells[:from]
}

// share makes dst, which is empty, hold the first n positions of src.
func (t *cellTable) share(dst, src engine.SeqID, n int32) {
	for _, cell := range t.of[src][:n] {
		t.users[cell]++
	}
	t.of[dst] = append(t.of[dst], t.of[src][:n]...)
}
