package queue_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/embedded"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// BenchmarkClaims is how many jobs a second are claimed, ended and acknowledged
// from a full queue, by one claimer and by four, each of which works on eight
// jobs at a time.
func BenchmarkClaims(b *testing.B) {
	for _, claimers := range []int{1, 4} {
		b.Run(fmt.Sprintf("claimers=%d", claimers), func(b *testing.B) {
			srv := queuetest.Start(b)
			q := queuetest.Open(b, srv, roomy)
			for i := range b.N {
				job := body("hello")
				job.Agent = fmt.Sprint("agent-", i%64)
				submit(b, q, queue.Submission{Class: schemas.ClassBatch, Job: job})
			}
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			ended := make(chan error, b.N)
			var loops sync.WaitGroup
			defer loops.Wait()
			for i := range claimers {
				c := claimer(b, queuetest.Open(b, srv, roomy), fmt.Sprint("w", i))
				loops.Go(func() { claimAll(ctx, c, ended) })
			}
			b.ResetTimer()
			for range b.N {
				if err := <-ended; err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "claims/s")
			cancel()
		})
	}
}

// claimAll claims and ends jobs, eight at a time, until ctx ends.
func claimAll(ctx context.Context, c *queue.Claimer, ended chan<- error) {
	places := make(chan struct{}, 8)
	var jobs sync.WaitGroup
	defer jobs.Wait()
	for {
		places <- struct{}{}
		d, err := c.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			ended <- err
			return
		}
		jobs.Go(func() {
			defer func() { <-places }()
			err := d.Append(ctx, done())
			if err == nil {
				err = d.Ack(ctx)
			}
			ended <- err
		})
	}
}

// BenchmarkResume is how long a job rests that was running on a worker which is
// killed, beyond AckWait, after which the broker may offer it again: until
// another worker has claimed it and read its log of 1,000 events.
func BenchmarkResume(b *testing.B) {
	srv := queuetest.Start(b)
	quick := func(o *queue.Options) { o.Config.AckWait = 2 * time.Second }
	q := queuetest.Open(b, srv, quick)
	var rests []time.Duration
	for b.Loop() {
		o := queue.Options{URL: srv.ClientURL(), Name: "victim", Config: queue.DefaultConfig()}
		quick(&o)
		victim, err := queue.Open(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		submit(b, q, queue.Submission{Job: body("x")})
		c, err := victim.NewClaimer(b.Context(), queue.ClaimOptions{Model: model, WorkerID: "v", Incarnation: "v-1"})
		if err != nil {
			b.Fatal(err)
		}
		d := claim(b, c)
		claimed := time.Now()
		add(b, d, started("v", "v-1", 1))
		for range 1000 {
			add(b, d, delta("token "))
		}
		c.Close()
		if err := victim.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
		heir := claimer(b, q, "h")
		next := claim(b, heir)
		rests = append(rests, time.Since(claimed)-o.Config.AckWait)
		add(b, next, done())
		if err := next.Ack(b.Context()); err != nil {
			b.Fatal(err)
		}
		heir.Close()
	}
	slices.Sort(rests)
	b.ReportMetric(float64(rests[len(rests)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(rests[len(rests)-1].Microseconds())/1000, "max-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSync is one append after another to one log, by what the broker does
// before it acknowledges: nothing (it syncs once a second), or a sync of each.
func BenchmarkSync(b *testing.B) {
	for _, always := range []bool{false, true} {
		b.Run(map[bool]string{false: "interval", true: "always"}[always], func(b *testing.B) {
			q := queuetest.Open(b, queuetest.Start(b, func(o *embedded.Options) { o.SyncAlways = always }))
			d := claimed(b, q)
			add(b, d, started("w", "w-1", 1))
			var times []time.Duration
			for b.Loop() {
				begin := time.Now()
				add(b, d, delta("token "))
				times = append(times, time.Since(begin))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// roomy lifts the bounds of the classes.
func roomy(o *queue.Options) {
	o.Config.Bounds = map[schemas.Class]queue.Bounds{}
	for _, class := range schemas.Classes() {
		o.Config.Bounds[class] = queue.Bounds{MaxJobs: 1 << 30, MaxBytes: 2 << 30, MaxJobsPerFlow: 1 << 30}
	}
}

// BenchmarkScrape is what a scrape of the metrics about the whole queue costs, with so
// many jobs in it, of 64 owners. While it is measured the leader looks at their ages.
func BenchmarkScrape(b *testing.B) {
	for _, jobs := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("jobs=%d", jobs), func(b *testing.B) {
			srv := queuetest.Start(b)
			q, registry := watched(b, srv, roomy)
			_, js := stranger(b, srv)
			data := encoded(b, body("hello"))
			for i := range jobs {
				subject := queue.JobSubject(model, schemas.ClassBatch, i%queue.Flows, fmt.Sprint("owner-", i%64))
				if _, err := js.PublishAsync(subject, data); err != nil {
					b.Fatal(err)
				}
				if i%1000 == 999 {
					<-js.PublishAsyncComplete()
				}
			}
			claim(b, claimer(b, q, "w"))
			reconcile(b, q, model)
			eventually(b, "the leader has seen the jobs", func() bool {
				return series(b, registry, "semantic_queue_oldest_seconds")[model+" batch queued "] > 0
			})
			b.ResetTimer()
			for range b.N {
				if _, err := registry.Gather(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
