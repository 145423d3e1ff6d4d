package queue

import (
	"container/heap"
	"context"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// Bounds of one pass over one class.
const (
	indexPage  = 256 // messages that are read at once
	indexPages = 16  // such reads
	indexBytes = 1 << 20
	judgeBatch = 1024 // jobs that are judged
)

// auditEvery is how often the stored jobs are read anew.
const auditEvery = 30 * time.Second

// storedJob is a job's message as the index has it.
type storedJob struct {
	sequence uint64
	// model is the plain name, "" where the token is no slug; log is the subject of
	// the events.
	model, log string
	flow       int
	storedAt   time.Time
	deadline   time.Duration
	// due is when the job is to be judged; at is its place in the heap.
	due time.Time
	at  int
	// round is the audit that has seen it last.
	round uint64
}

// classIndex knows the stored jobs of a class that are older than the interval, and
// when each is to be looked at. What comes and goes in between is never read.
type classIndex struct {
	r     *reconciler
	class schemas.Class
	clock brokerClock
	jobs  map[uint64]*storedJob
	dues  dueHeap
	// next is where the index goes on reading; complete says that it had read
	// everything once.
	next     uint64
	complete bool
	// An audit reads the stream again from its beginning: what is not there any more
	// is dropped, and what has its end is judged. auditAt is where it is, 0 between
	// two.
	auditAt, auditTo, round uint64
	auditDue                time.Time
}

func newClassIndex(r *reconciler, class schemas.Class) *classIndex {
	return &classIndex{r: r, class: class, jobs: make(map[uint64]*storedJob), next: 1}
}

func (c *classIndex) pass(ctx context.Context) (more bool, err error) {
	info, clock, err := c.r.q.look(ctx, jobsStream(c.class))
	if err != nil {
		return false, err
	}
	c.clock = clock
	if c.next > info.State.LastSeq+1 {
		c.empty() // made anew
	}
	more, err = c.fill(ctx)
	if err != nil {
		return false, err
	}
	due := c.due()
	err = each(ctx, due, c.judge)
	for _, job := range due {
		c.place(job)
	}
	if err != nil {
		return false, err
	}
	return more || len(due) == judgeBatch, c.auditPage(ctx, info.State.LastSeq)
}

// empty forgets the class.
func (c *classIndex) empty() {
	for sequence := range c.jobs {
		c.forget(sequence)
	}
	c.next, c.complete, c.auditAt = 1, false, 0
}

// page reads the stored jobs from a sequence on, at most limit; false where there
// are no more.
func (c *classIndex) page(ctx context.Context, from uint64, limit int) (list []storedMessage, more bool, err error) {
	request := getRequest{Sequence: from, NextFor: prefixJobs + ">", Batch: limit, MaxBytes: indexBytes}
	err = c.r.q.once(ctx, func(ctx context.Context) (err error) {
		list = list[:0]
		_, more, err = c.r.q.directGet(ctx, jobsStream(c.class), request, func(m storedMessage) bool {
			list = append(list, m)
			return true
		})
		return err
	})
	return list, more, err
}

// fill reads on, up to the jobs that are too young.
func (c *classIndex) fill(ctx context.Context) (more bool, err error) {
	limit := 1 // a look whether there is anything to read
	for range indexPages {
		list, more, err := c.page(ctx, c.next, limit)
		if err != nil {
			return false, err
		}
		for _, m := range list {
			if c.young(m) {
				c.complete = true
				return false, nil
			}
			c.add(m)
			c.next = m.Sequence + 1
		}
		if !more {
			c.complete = true
			return false, nil
		}
		limit = indexPage
	}
	return true, nil
}

func (c *classIndex) young(m storedMessage) bool {
	return c.clock.now().Sub(m.Time) < c.r.q.config.ReconcileInterval
}

// add enters a job that the index does not have.
func (c *classIndex) add(m storedMessage) *storedJob {
	if job := c.jobs[m.Sequence]; job != nil {
		return job
	}
	token := strings.Split(strings.TrimPrefix(m.Subject, prefixJobs), ".")
	if len(token) != 4 {
		return nil // no stream of ours has such a subject
	}
	model, _ := Unslug(token[0]) // "" is no model's name
	flow, _ := parseFlow(token[2])
	job := &storedJob{
		sequence: m.Sequence, model: model, flow: flow, storedAt: m.Time, round: c.round,
		log:      prefixEvents + token[3] + "." + deliveredID(m.Header.Get(schemas.HeaderJobID), c.class, m.Sequence),
		deadline: c.r.q.config.peekDeadline(m.Data, c.class),
	}
	job.due = c.firstDue(job)
	c.jobs[job.sequence] = job
	c.r.logs[job.log]++
	heap.Push(&c.dues, job)
	return job
}

func (c *classIndex) firstDue(job *storedJob) time.Time {
	due := job.storedAt.Add(job.deadline)
	if grace := job.storedAt.Add(c.r.q.config.ModelGrace); !c.r.knows(job.model) && grace.Before(due) {
		return grace
	}
	return due
}

// forget drops a job from the index.
func (c *classIndex) forget(sequence uint64) {
	job := c.jobs[sequence]
	if job == nil {
		return
	}
	delete(c.jobs, sequence)
	if c.r.logs[job.log]--; c.r.logs[job.log] <= 0 {
		delete(c.r.logs, job.log)
	}
	if job.at >= 0 {
		heap.Remove(&c.dues, job.at)
	}
}

// due takes the jobs out of the heap that are to be judged now.
func (c *classIndex) due() []*storedJob {
	var list []*storedJob
	now := c.clock.now()
	for len(list) < judgeBatch && len(c.dues) > 0 && !c.dues[0].due.After(now) {
		list = append(list, heap.Pop(&c.dues).(*storedJob)) //nolint:forcetypeassert // only jobs are pushed
	}
	return list
}

// place puts a job that was judged back, or drops it if it is over.
func (c *classIndex) place(job *storedJob) {
	if job.due.IsZero() {
		c.forget(job.sequence)
		return
	}
	heap.Push(&c.dues, job)
}

// lookAgain makes jobs of models that are not known due.
func (c *classIndex) lookAgain() {
	for _, job := range c.jobs {
		if due := c.firstDue(job); due.Before(job.due) {
			job.due = due
		}
	}
	heap.Init(&c.dues)
}

// auditPage goes on with the audit by one page, or begins one.
func (c *classIndex) auditPage(ctx context.Context, last uint64) error {
	if c.auditAt == 0 {
		if !c.complete || time.Now().Before(c.auditDue) {
			return nil
		}
		// Of what the index has read only: the rest is young.
		c.auditAt, c.auditTo = 1, min(last, c.next-1)
		c.round++
	}
	list, more, err := c.page(ctx, c.auditAt, indexPage)
	if err != nil {
		return err
	}
	logs := make(map[string]*storedJob, len(list))
	subjects := make([]string, 0, len(list))
	for _, m := range list {
		if c.auditAt = m.Sequence + 1; m.Sequence > c.auditTo {
			more = false
			break
		}
		job := c.add(m)
		if job == nil {
			continue
		}
		job.round = c.round
		if logs[job.log] == nil && concreteSubject(job.log) {
			subjects = append(subjects, job.log)
		}
		logs[job.log] = job
	}
	// The workers that ended these, or others, may be about to remove them.
	settled := c.clock.now().Add(-2 * c.r.q.config.AckWait)
	err = c.r.q.multiLast(ctx, subjects, func(m storedMessage) {
		if job := logs[m.Subject]; job != nil && endOf(m) && m.Time.Before(settled) {
			job.due = c.clock.now()
			heap.Fix(&c.dues, job.at)
		}
	})
	if err != nil || more {
		return err
	}
	for sequence, job := range c.jobs {
		if job.round < c.round && sequence <= c.auditTo {
			c.forget(sequence) // gone; if that is wrong, the audit of the logs will tell
		}
	}
	c.auditAt, c.auditDue = 0, time.Now().Add(min(auditEvery, 30*c.r.q.config.ReconcileInterval))
	return nil
}

// dueHeap has the job that is due first at its top.
type dueHeap []*storedJob

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	job := x.(*storedJob) //nolint:forcetypeassert // only jobs are pushed
	job.at = len(*h)
	*h = append(*h, job)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	job := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	job.at = -1
	return job
}
