package queue_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// TestRepeatsAtTheBound: repeats of a request come all at once, while the class is
// full and room is made. Whoever is told that the job is stored finds it under its
// id, whatever those who were refused at the same time have cleared away.
func TestRepeatsAtTheBound(t *testing.T) {
	srv := queuetest.Start(t)
	one := func(o *queue.Options) {
		o.Config.Bounds = map[schemas.Class]queue.Bounds{}
		for _, class := range schemas.Classes() {
			o.Config.Bounds[class] = queue.Bounds{MaxJobs: 1, MaxBytes: 64 << 20, MaxJobsPerFlow: 1}
		}
	}
	queues := []*queue.Queue{queuetest.Open(t, srv, fast, one), queuetest.Open(t, srv, fast, one)}
	stored := 0
	for round := range 40 {
		filler := submit(t, queues[0], queue.Submission{Job: body("filler")})
		id := fmt.Sprintf("repeat-%d", round)
		errs := make([]error, 6)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() {
				_, errs[i] = queues[i%2].Submit(within(t, time.Minute), queue.Submission{
					JobID: id, Job: body("repeat"), RequestHash: strings.Repeat("a", 64),
				})
			})
		}
		if err := queues[round%2].Cancel(within(t, time.Minute), "", filler.JobID, "requested"); err != nil {
			t.Fatal(err)
		}
		all.Wait()
		for _, err := range errs {
			if err != nil && !errors.Is(err, queue.ErrQueueFull) {
				t.Fatal(err)
			}
			if err != nil {
				continue
			}
			stored++
			log, err := queues[0].Log(within(t, time.Minute), "", id)
			if err != nil || len(log) == 0 || log[0].Submitted == nil {
				t.Fatalf("round %d: the log of a stored job is %+v, error %v", round, log, err)
			}
		}
		if err := queues[0].Cancel(within(t, time.Minute), "", id, "requested"); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d times stored", stored)
}
