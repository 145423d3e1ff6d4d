package sim

import "github.com/semantic-worker/semantic/engine"

// cells is the KV cache: a cell is in use while a sequence refers to it.
type cells struct {
	// uses counts the sequences that refer to a cell; free are those of none.
	uses []int
	free []int
	// sequences hold, per position, its cell and what the model knows after it.
	sequences [][]position
}

type position struct {
	cell  int
	after state
}

func newCells(n, sequences int) *cells {
	c := &cells{uses: make([]int, n), sequences: make([][]position, sequences)}
	for i := n - 1; i >= 0; i-- {
		c.free = append(c.free, i)
	}
	return c
}

// append takes a free cell for a sequence's next position.
func (c *cells) append(v *vocabulary, row engine.Row) state {
	positions := c.sequences[row.Seq]
	var before state
	if len(positions) > 0 {
		before = positions[len(positions)-1].after
	}
	cell := c.free[len(c.free)-1]
	c.free = c.free[:len(c.free)-1]
	c.uses[cell] = 1
	after := v.read(before, row.Token)
	c.sequences[row.Seq] = append(positions, position{cell, after})
	return after
}

func (c *cells) remove(seq engine.SeqID, from int) {
	positions := c.sequences[seq]
	if from >= len(positions) {
		return
	}
	for _, p := range positions[from:] {
		if c.uses[p.cell]--; c.uses[p.cell] == 0 {
			c.free = append(c.free, p.cell)
		}
	}
	c.sequences[seq] = positions[:from]
}

func (c *cells) share(dst, src engine.SeqID, n int) {
	for _, p := range c.sequences[src][:n] {
		c.uses[p.cell]++
		c.sequences[dst] = append(c.sequences[dst], p)
	}
}

// restore takes a free cell for a saved position.
func (c *cells) restore(seq engine.SeqID, after state) {
	cell := c.free[len(c.free)-1]
	c.free = c.free[:len(c.free)-1]
	c.uses[cell] = 1
	c.sequences[seq] = append(c.sequences[seq], position{cell, after})
}

func (c *cells) used() int { return len(c.uses) - len(c.free) }
