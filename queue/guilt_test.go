package queue

import (
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/semantic-worker/semantic/schemas"
)

// modelJob is a job in a model of workers: its log is all that outlives them.
type modelJob struct {
	log  []schemas.Event
	left int // tokens until its end
	// kills is after how many tokens of the job it kills its worker; negative for
	// never. wobbles is how many it may get further each time.
	kills, wobbles int
	made           int
	ended          bool
}

func (j *modelJob) start(who incarnation, alone bool) {
	j.log = append(j.log, schemas.Event{
		Type: schemas.EventStarted, Started: &schemas.Started{Worker: who.worker, Incarnation: who.id, Alone: alone},
	})
}

// grow logs a token.
func (j *modelJob) grow() {
	j.log = append(j.log, schemas.Event{Type: schemas.EventDelta, Delta: &schemas.Delta{Output: schemas.Output{Tokens: []int32{1}}}})
	j.made++
	j.left--
	j.ended = j.left == 0
}

// fleet is a model of a worker that is started again and again: it claims and runs
// jobs in any order, runs suspects alone as package worker does, and dies with what
// it has when a killer is due.
type fleet struct {
	t        *rapid.T
	jobs     []*modelJob
	places   int
	attempts int
	deaths   int
}

func (f *fleet) judge(j *modelJob) Guilt {
	return guiltOf(j.log, "judge", func(string, string) bool { return true })
}

// live is one life of the worker. It returns the jobs that it gave up, and whether
// it died.
func (f *fleet) live(who incarnation) (condemned []*modelJob, died bool) {
	var hands []*modelJob
	var isolated *modelJob // the suspect that is alone: it has not grown yet
	for {
		var waiting []*modelJob
		for _, j := range f.jobs {
			if !j.ended && !contains(hands, j) {
				waiting = append(waiting, j)
			}
		}
		if len(waiting)+len(hands) == 0 {
			return condemned, false
		}
		if isolated == nil && len(waiting) > 0 && len(hands) < f.places && (len(hands) == 0 || rapid.Bool().Draw(f.t, "claim")) {
			j := rapid.SampledFrom(waiting).Draw(f.t, "which")
			g := f.judge(j)
			if g.Condemned(f.attempts) {
				j.ended = true
				condemned = append(condemned, j)
				continue
			}
			if g.Suspect {
				isolated = j
			}
			hands = append(hands, j)
			j.start(who, isolated != nil)
			continue
		}
		j := isolated // the others in hands pause
		if j == nil {
			j = rapid.SampledFrom(hands).Draw(f.t, "runs")
		}
		if j.kills >= 0 && j.made >= j.kills {
			j.kills += rapid.IntRange(0, j.wobbles).Draw(f.t, "wobble")
			f.deaths++
			return condemned, true
		}
		j.grow()
		isolated = nil
		if j.ended {
			hands = remove(hands, j)
		}
	}
}

func contains(list []*modelJob, j *modelJob) bool {
	for _, other := range list {
		if other == j {
			return true
		}
	}
	return false
}

func remove(list []*modelJob, j *modelJob) []*modelJob {
	var out []*modelJob
	for _, other := range list {
		if other != j {
			out = append(out, other)
		}
	}
	return out
}

// TestOnlyKillersAreCondemned: among any number of neighbours the jobs that kill
// are given up after few deaths, and no others are.
func TestOnlyKillersAreCondemned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &fleet{t: t, places: rapid.IntRange(1, 4).Draw(t, "places"), attempts: rapid.IntRange(1, 4).Draw(t, "attempts")}
		killers := rapid.IntRange(1, 2).Draw(t, "killers")
		for i := range rapid.IntRange(0, 5).Draw(t, "innocents") + killers {
			j := &modelJob{left: rapid.IntRange(1, 5).Draw(t, "length"), kills: -1}
			if i < killers {
				j.left, j.kills = 1<<30, rapid.IntRange(0, 3).Draw(t, "kills")
				j.wobbles = rapid.SampledFrom([]int{0, 0, 0, 2}).Draw(t, "wobbles")
			}
			f.jobs = append(f.jobs, j)
		}
		guilty := make(map[*modelJob]bool)
		for life := 0; ; life++ {
			condemned, died := f.live(incarnation{"w", strconv.Itoa(life)})
			for _, j := range condemned {
				if guilty[j] = true; j.kills < 0 {
					t.Fatalf("an innocent was condemned: %+v", f.judge(j))
				}
			}
			if !died {
				break
			}
			if bound := killers * totalBound * f.attempts; f.deaths > bound {
				t.Fatalf("%d workers died, want at most %d", f.deaths, bound)
			}
		}
		if len(guilty) != killers {
			t.Fatalf("%d of %d killers were condemned", len(guilty), killers)
		}
		// One that always dies at the same place costs the attempts, one death that
		// was not proved, and one that brought it there.
		if wobbles := f.jobs[0].wobbles + f.jobs[killers-1].wobbles; wobbles == 0 && f.deaths > killers*(f.attempts+2) {
			t.Fatalf("%d workers died of %d killers with %d attempts", f.deaths, killers, f.attempts)
		}
	})
}
