package engine

// blockCells is the size of a block in cells: the unit in which the beginnings
// of sequences are named (blockKey), looked up and accounted for.
const blockCells = 256

// pool accounts for the cells of the resident sequences. Backends give out cells
// one by one, so a block takes no more of them than it has positions; used is
// equal to the backend's own count. Cells that several sequences share count
// once.
type pool struct {
	// held are the pieces of each sequence in the order of its positions, length
	// its positions.
	held   [][]piece
	length []int
	// used are distinct cells; blocks those that have at least one.
	used, blocks int
}

// piece is the first cells of a block, as one sequence holds them.
type piece struct {
	block *block
	cells int
}

// block is up to blockCells consecutive positions, which do not cross a multiple
// of blockCells.
type block struct {
	users []user
}

// user is a sequence that holds the first cells of a block.
type user struct {
	slot  SeqID
	cells int
}

// size is how many cells the block has.
func (b *block) size() (cells int) {
	for _, u := range b.users {
		cells = max(cells, u.cells)
	}
	return cells
}

func newPool(sequences int) pool {
	return pool{held: make([][]piece, sequences), length: make([]int, sequences)}
}

// grow gives a sequence n more positions in new cells.
func (p *pool) grow(slot SeqID, n int) {
	for n > 0 {
		at := p.length[slot] % blockCells
		count := min(n, blockCells-at)
		pieces := p.held[slot]
		if last := len(pieces) - 1; at > 0 && pieces[last].cells == pieces[last].block.size() {
			pieces[last].cells += count
			pieces[last].block.set(slot, pieces[last].cells)
		} else {
			// The first of a block, or others went on from here in the last one.
			p.held[slot] = append(pieces, piece{&block{users: []user{{slot, count}}}, count})
			p.blocks++
		}
		p.length[slot] += count
		p.used += count
		n -= count
	}
}

func (b *block) set(slot SeqID, cells int) {
	for i := range b.users {
		if b.users[i].slot == slot {
			b.users[i].cells = cells
		}
	}
}

// share makes dst, which has none, hold the first n positions of src.
func (p *pool) share(dst, src SeqID, n int) {
	p.length[dst] = n
	for _, held := range p.held[src] {
		if n == 0 {
			return
		}
		count := min(n, held.cells)
		held.block.users = append(held.block.users, user{dst, count})
		p.held[dst] = append(p.held[dst], piece{held.block, count})
		n -= count
	}
}

// release takes all positions of a sequence away.
func (p *pool) release(slot SeqID) {
	for _, held := range p.held[slot] {
		before := held.block.size()
		users := held.block.users[:0]
		for _, u := range held.block.users {
			if u.slot != slot {
				users = append(users, u)
			}
		}
		held.block.users = users
		p.used -= before - held.block.size()
		if len(users) == 0 {
			p.blocks--
		}
	}
	clear(p.held[slot])
	p.held[slot], p.length[slot] = p.held[slot][:0], 0
}

// freed is how many cells of pieces have no user when slot and those that are
// gone let go of them.
func freed(pieces []piece, slot SeqID, gone []SeqID) (cells int) {
	for _, held := range pieces {
		left := 0
		for _, u := range held.block.users {
			if u.slot != slot && !contains(gone, u.slot) {
				left = max(left, u.cells)
			}
		}
		cells += max(held.cells-left, 0)
	}
	return cells
}

func contains(slots []SeqID, slot SeqID) bool {
	for _, s := range slots {
		if s == slot {
			return true
		}
	}
	return false
}
