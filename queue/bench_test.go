package queue_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// BenchmarkPublishToClaim is the time from a stranger's publish to the job in
// an idle claimer's hand, percentiles included.
func BenchmarkPublishToClaim(b *testing.B) {
	srv := queuetest.Start(b)
	q := queuetest.Open(b, srv)
	c := claimer(b, q, "w")
	nc, _ := stranger(b, srv)
	data := encoded(b, body("hello"))
	subject := queue.JobSubject(model, schemas.ClassInteractive, 3, queue.OwnerLocal)
	claims := make(chan time.Time, 1)
	failed := make(chan error, 1)
	go func() {
		for {
			d, err := c.Next(b.Context())
			if err != nil {
				failed <- err
				return
			}
			at := time.Now()
			if err := d.Append(b.Context(), done()); err != nil {
				failed <- err
				return
			}
			if err := d.Ack(b.Context()); err != nil {
				failed <- err
				return
			}
			claims <- at
		}
	}()
	times := make([]time.Duration, 0, b.N)
	for b.Loop() {
		start := time.Now()
		if err := nc.Publish(subject, data); err != nil {
			b.Fatal(err)
		}
		select {
		case at := <-claims:
			times = append(times, at.Sub(start))
		case err := <-failed:
			b.Fatal(err)
		}
	}
	c.Close()
	if err := <-failed; !errors.Is(err, queue.ErrClosed) {
		b.Fatal(err)
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkClaim is one claim from a backlog, by the home of its flow or from a
// busy one.
func BenchmarkClaim(b *testing.B) {
	for name, claims := range map[string]func(home, other *peer) *peer{
		"home":   func(home, _ *peer) *peer { return home },
		"stolen": func(_, other *peer) *peer { return other },
	} {
		b.Run(name, func(b *testing.B) {
			srv := queuetest.Start(b)
			peers := company(b, srv, time.Millisecond, 2)
			flow := flowOf(b, peers[0].q, peers[0].id)
			who := claims(peers[0], peers[1])
			b.ResetTimer()
			for i := range b.N {
				if i%500 == 0 {
					b.StopTimer()
					for range min(500, b.N-i) {
						put(b, peers[0].q, flow)
					}
					b.StartTimer()
				}
				d := claim(b, who.c)
				b.StopTimer() // the rest is the job's, and makes room for more
				add(b, d, done())
				if err := d.Ack(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkAppend is one fenced append after another to one log.
func BenchmarkAppend(b *testing.B) {
	q := queuetest.Open(b, queuetest.Start(b))
	c := claimer(b, q, "w")
	submit(b, q, queue.Submission{Job: body("hello")})
	d := claim(b, c)
	add(b, d, started("w", "w-1", 1))
	e := delta("token ")
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Append(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSubmit is the gateway's part: the event, and the job.
func BenchmarkSubmit(b *testing.B) {
	q := queuetest.Open(b, queuetest.Start(b), func(o *queue.Options) {
		o.Config.Bounds[schemas.ClassNormal] = queue.Bounds{MaxJobs: 1 << 30, MaxBytes: 8 << 30, MaxJobsPerFlow: 1 << 30}
	})
	for b.Loop() {
		if _, err := q.Submit(b.Context(), queue.Submission{Job: body("hello")}); err != nil {
			b.Fatal(err)
		}
	}
}
