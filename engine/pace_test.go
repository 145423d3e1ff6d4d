package engine

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// device is how long steps take, in seconds: some for the step, some for each
// row of each kind.
type device struct {
	step, decode, prefill, replay float64
}

func (d device) takes(rows stepRows) time.Duration {
	seconds := d.step + d.decode*float64(rows.decode) + d.prefill*float64(rows.prefill) + d.replay*float64(rows.replay)
	return time.Duration(seconds * float64(time.Second))
}

// learn makes steps as a loop would beside so many decode rows, and returns the
// pieces of each.
func learn(p *pace, d device, decode, steps int) (pieces []int) {
	for range steps {
		n, _ := p.allow(decode, 0)
		rows := stepRows{decode: decode, prefill: n * quantum}
		p.planned(rows, false)
		p.observe(rows, quantum, d.takes(rows))
		pieces = append(pieces, n)
	}
	return pieces
}

func TestStepsKeepToTheirBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := device{
			step:    rapid.Float64Range(0.001, 0.1).Draw(t, "step"),
			decode:  rapid.Float64Range(0, 0.01).Draw(t, "decode row"),
			prefill: rapid.Float64Range(0.00001, 0.005).Draw(t, "prefill row"),
		}
		p := pace{bound: rapid.Float64Range(1.2, 4).Draw(t, "bound")}
		decode := rapid.IntRange(1, 32).Draw(t, "decode rows")
		learn(&p, d, decode, 20)
		alone, piece := d.takes(stepRows{decode: decode}), d.takes(stepRows{prefill: quantum})-d.takes(stepRows{})
		spare := time.Duration((p.bound - 1) * float64(alone))
		without, total, steps := 0, 0, learn(&p, d, decode, 400)
		for _, n := range steps {
			total += n
			if n > 1 && time.Duration(n)*piece > spare+time.Microsecond {
				t.Fatalf("%d pieces of %v in a step with %v to spare", n, piece, spare)
			}
			if without++; n > 0 {
				without = 0
			}
			if without > maxWait {
				t.Fatalf("%d steps without a piece", without)
			}
		}
		// The mean keeps to the bound where steps without pieces can make up for one.
		if piece < maxWait*spare && time.Duration(total)*piece > 400*spare+10*piece {
			t.Fatalf("%d pieces of %v in 400 steps with %v to spare each", total, piece, spare)
		}
		// And what there is to spare is used: at least a third of it.
		if piece <= spare && total < 400/3*int(min(spare/piece, 511)) {
			t.Fatalf("%d pieces of %v in 400 steps with %v to spare each", total, piece, spare)
		}
	})
}

// One step in seven takes up to a thousand times as long; that changes nothing.
func TestOutliersChangeNothing(t *testing.T) {
	d := device{step: 0.010, prefill: 0.0001}
	p := pace{bound: 2}
	for i := range 300 {
		n, _ := p.allow(4, 0)
		if i > 60 && n > 1 {
			t.Fatalf("step %d: %d pieces of 6.4 ms in a step with 10 ms to spare", i, n)
		}
		rows := stepRows{decode: 4, prefill: n * quantum}
		took := d.takes(rows)
		if i%7 == 3 {
			took *= 1000
		}
		p.planned(rows, false)
		p.observe(rows, quantum, took)
	}
}

// The pace follows a device that becomes slower.
func TestPaceFollowsTheDevice(t *testing.T) {
	p := pace{bound: 2}
	fast := learn(&p, device{step: 0.010, prefill: 0.00002}, 4, 100)
	slow := learn(&p, device{step: 0.010, prefill: 0.0002}, 4, 200)
	if n := slices.Max(fast[50:]); n != 7 {
		t.Errorf("%d pieces of 1.28 ms in a step with 10 ms to spare, want 7", n)
	}
	for i, n := range slow[150:] {
		if n > 1 {
			t.Errorf("%d pieces of 12.8 ms in a step with 10 ms to spare, %d steps after it became slow", n, 150+i)
		}
	}
}

func TestReplayIsPacedToo(t *testing.T) {
	d := device{step: 0.010, replay: 0.001}
	p := pace{bound: 2}
	if _, rows := p.allow(4, 0); rows != replayRows {
		t.Errorf("%d rows before anything is known, want %d", rows, replayRows)
	}
	p.planned(stepRows{decode: 4}, false)
	p.observe(stepRows{decode: 4}, quantum, d.takes(stepRows{decode: 4}))
	rows := stepRows{decode: 4, replay: 20}
	p.planned(rows, false)
	p.observe(rows, quantum, d.takes(rows))
	if _, n := p.allow(4, 0); n < 9 || n > 10 {
		t.Errorf("%d rows of 1 ms with 10 ms to spare", n)
	}
}

func TestStatesAreKeptWhereThatIsCheaper(t *testing.T) {
	var k spill
	if !k.worth(100, 1000, 0, false) {
		t.Error("not tried while nothing is known")
	}
	if k.worth(100, 0, 0, false) {
		t.Error("kept with no room for it")
	}
	k.perCell, k.bytes = 10, 500
	k.save.add(0.001)
	if k.worth(100, 1000, 1000, true) {
		t.Error("1,000 bytes kept beside 500 in room for 1,000")
	}
	// Saving and, as far as is known, restoring 500 bytes takes a second.
	if !k.worth(50, 1000, 1.01, true) || k.worth(50, 1000, 0.99, true) {
		t.Error("a second of copying is worth more than a second of computing, and not less")
	}
	k.restore.add(0.003)
	if k.worth(50, 1000, 1.9, true) || !k.worth(50, 1000, 2.1, true) {
		t.Error("two seconds of copying")
	}
	var p pace
	if _, known := p.recompute(10, 10, quantum); known {
		t.Error("it knows what nobody told it")
	}
	p.observe(stepRows{prefill: 512}, quantum, 8*time.Second)
	if seconds, known := p.recompute(128, 0, quantum); !known || seconds != 2 {
		t.Errorf("%v s for two pieces, want 2", seconds)
	}
}

// What prompts took while nothing decoded is nobody's debt.
func TestPromptsFromIdleOweNothing(t *testing.T) {
	p := pace{bound: 2}
	see := func(rows stepRows, took time.Duration) {
		p.planned(rows, true)
		p.observe(rows, quantum, took)
	}
	see(stepRows{decode: 1}, 10*time.Millisecond)
	see(stepRows{prefill: quantum}, 100*time.Millisecond)
	see(stepRows{prefill: 8 * quantum}, time.Second)
	if pieces, _ := p.allow(1, 1); pieces != 1 {
		t.Errorf("%d pieces after prompts were read from idle, want 1", pieces)
	}
	p.planned(stepRows{decode: 1, prefill: quantum}, true)
	p.observe(stepRows{decode: 1}, quantum, 10*time.Millisecond)
	p.observe(stepRows{prefill: quantum}, quantum, 100*time.Millisecond)
	without := 0
	for ; without < 20; without++ {
		if pieces, _ := p.allow(1, 0); pieces > 0 {
			break
		}
		see(stepRows{decode: 1}, 10*time.Millisecond)
	}
	if without != maxWait {
		t.Errorf("%d steps without a piece of ten steps' time, want %d", without, maxWait)
	}
}

// Where all prompts are shorter than a piece they are not read one a step for ever.
func TestShortPromptsAreReadTogether(t *testing.T) {
	d := device{step: 0.1, decode: 0.0001, prefill: 0.0001}
	p := pace{bound: 2}
	most := 0
	for range 30 {
		n, _ := p.allow(8, 0)
		rows := stepRows{decode: 8, prefill: n * 43}
		p.planned(rows, false)
		p.observe(rows, quantum, d.takes(rows))
		most = max(most, n)
	}
	if most < 8 {
		t.Errorf("at most %d prompts of 43 tokens were read in a step with 100 ms to spare", most)
	}
}
