package queue

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// A large job is an object of the broker's object store, in the form that every
// NATS client reads and writes: chunks under one subject, and a message that
// describes them under another. It is put there before the job's message, which
// has a schemas.Input in its place, and removed with the job's log.

// inputName is the object of a large job.
func inputName(owner, jobID string) string { return Slug(owner) + "." + jobID }

// deadInputName is the same for a dead one, of which a model may have another.
func deadInputName(model, owner, jobID string) string {
	return Slug(model) + "." + inputName(owner, jobID)
}

// payload is a job as it is to be stored.
type payload struct {
	// job is the whole, message what is published: the job, or what stands for it.
	job, message []byte
}

func (p payload) large() bool { return len(p.job) > 0 && !bytes.Equal(p.job, p.message) }

// messageRoom is what a message needs beside the job: its headers, the evidence of
// a dead one.
const messageRoom = 256 << 10

// inlineBytes is how large a job's message may be.
func (q *Queue) inlineBytes() int64 { return min(q.config.InlineBytes, q.nc.MaxPayload()-messageRoom) }

// payload makes the message of a job. ErrTooLarge where nothing takes it.
func (q *Queue) payload(job schemas.Job, body []byte) (payload, error) {
	if size := int64(len(body)); size > q.config.MaxJobBytes {
		return payload{}, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, size, q.config.MaxJobBytes)
	} else if size <= q.inlineBytes() {
		return payload{job: body, message: body}, nil
	}
	return referring(job, body)
}

// referring is the payload of a job that is put into the object store.
func referring(job schemas.Job, body []byte) (payload, error) {
	message, err := schemas.EncodeInput(schemas.Input{
		Input: schemas.InputRef{SHA256: bodyHash(body), Size: int64(len(body))},
		Model: job.Model, DeadlineMS: job.DeadlineMS, Agent: job.Agent,
	})
	return payload{job: body, message: message}, err
}

// transferRate is how slow a connection may be, in bytes a second, before moving a
// large job is given up and tried again.
const transferRate = 1 << 20

func (q *Queue) transferTime(size int64) time.Duration {
	return q.config.RequestTimeout + time.Duration(size)*time.Second/transferRate
}

// putObject stores an object, in place of one of the same name. ErrStorageFull
// leaves nothing behind.
func (q *Queue) putObject(ctx context.Context, store, name string, data []byte) error {
	return q.retryWithin(ctx, q.transferTime(int64(len(data))), func(ctx context.Context) error {
		objects, err := q.js.ObjectStore(ctx, store)
		if err == nil {
			_, err = objects.Put(ctx, jetstream.ObjectMeta{Name: name}, bytes.NewReader(data))
		}
		switch code := apiCode(err); {
		case code == codeStoreFailed, code == codeNoResources:
			return fmt.Errorf("%w: object store %s: %w", ErrStorageFull, store, err)
		case errors.Is(err, nats.ErrMaxPayload):
			return fmt.Errorf("%w: the broker takes no chunks of it: %w", ErrTooLarge, err)
		case err != nil:
			return fmt.Errorf("queue: put %s: %w", name, err)
		}
		return nil
	})
}

// keepObject stores an object, unless it is there: somebody may be reading it, and
// workers may not replace what is there.
func (q *Queue) keepObject(ctx context.Context, store, name string, data []byte) error {
	sum := sha256.Sum256(data)
	info, err := q.findObject(ctx, store, name)
	if err != nil || info != nil && info.Digest == "SHA-256="+base64.URLEncoding.EncodeToString(sum[:]) {
		return err
	}
	return q.putObject(ctx, store, name, data)
}

// objectInfo is what is read of an object's description.
type objectInfo struct {
	NUID    string `json:"nuid"`
	Digest  string `json:"digest"`
	Size    int64  `json:"size"`
	Deleted bool   `json:"deleted"`
}

func metaSubject(store, name string) string {
	return "$O." + store + ".M." + base64.URLEncoding.EncodeToString([]byte(name))
}

// findObject reads an object's description; nil if there is none.
func (q *Queue) findObject(ctx context.Context, store, name string) (*objectInfo, error) {
	var info *objectInfo
	err := q.retry(ctx, func(ctx context.Context) error {
		info = nil
		m, found, err := q.leaderGet(ctx, objectStream(store), getRequest{LastFor: metaSubject(store, name)})
		if err != nil || !found {
			return err
		}
		var read objectInfo
		// What is no description is the same as none.
		if json.Unmarshal(m.Data, &read) == nil && !read.Deleted && concreteSubject(read.NUID) {
			info = &read
		}
		return nil
	})
	return info, err
}

// getObject reads an object, and wants it to be as ref says: else an *InputError.
func (q *Queue) getObject(ctx context.Context, store, name string, ref schemas.InputRef) ([]byte, error) {
	wrong := func(format string, args ...any) error {
		return &InputError{Store: store, Object: name, Reason: fmt.Sprintf(format, args...)}
	}
	if ref.Size > q.config.MaxJobBytes {
		return nil, wrong("is to have %d bytes; at most %d are read", ref.Size, q.config.MaxJobBytes)
	}
	info, err := q.findObject(ctx, store, name)
	switch {
	case err != nil:
		return nil, err
	case info == nil:
		return nil, wrong("is missing")
	case info.Size != ref.Size:
		return nil, wrong("has %d bytes instead of %d", info.Size, ref.Size)
	}
	data, err := q.readChunks(ctx, objectStream(store), "$O."+store+".C."+info.NUID, ref.Size)
	switch sum := sha256.Sum256(data); {
	case err != nil:
		return nil, err
	case int64(len(data)) != ref.Size:
		return nil, wrong("is damaged: %d of its %d bytes are there", len(data), ref.Size)
	case hex.EncodeToString(sum[:]) != ref.SHA256:
		return nil, wrong("is damaged: its SHA-256 is %x instead of %s", sum, ref.SHA256)
	}
	return data, nil
}

// readChunks reads the messages of a subject as one, until size is reached.
func (q *Queue) readChunks(ctx context.Context, stream, subject string, size int64) ([]byte, error) {
	data := make([]byte, 0, size)
	next, complete := uint64(1), false
	take := func(m storedMessage) bool {
		data, next = append(data, m.Data...), m.Sequence+1
		complete = int64(len(data)) >= size
		return !complete
	}
	for !complete {
		before := next
		err := q.retry(ctx, func(ctx context.Context) error {
			_, _, err := q.directBatch(ctx, stream, subject, next, take)
			return err
		})
		if err != nil {
			return nil, err
		}
		if next > before {
			continue
		}
		// There is no more, or the replica that answered lags: ask the leader.
		var found bool
		var m storedMessage
		err = q.retry(ctx, func(ctx context.Context) error {
			var err error
			m, found, err = q.leaderGet(ctx, stream, getRequest{Sequence: next, NextFor: subject})
			return err
		})
		if err != nil {
			return nil, err
		}
		if !found {
			break
		}
		take(m)
	}
	return data, nil
}

// removeObject deletes an object, without leaving a marker; nil if there is none.
func (q *Queue) removeObject(ctx context.Context, store, name string) error {
	info, err := q.findObject(ctx, store, name)
	if err != nil || info == nil {
		return err
	}
	return q.retry(ctx, func(ctx context.Context) error {
		stream, err := q.stream(ctx, objectStream(store))
		if err != nil {
			return err
		}
		// The description last: as long as it is there, the rest can be found.
		for _, subject := range []string{"$O." + store + ".C." + info.NUID, metaSubject(store, name)} {
			if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
				return fmt.Errorf("queue: remove %s: %w", name, err)
			}
		}
		return nil
	})
}

// removeInput deletes a large job from the object store, once its log is purged;
// nil for any other job.
func (q *Queue) removeInput(ctx context.Context, owner, jobID string) error {
	return q.removeObject(ctx, storeInputs, inputName(owner, jobID))
}

// storeJob publishes a job's message, after the object that it stands for.
func (q *Queue) storeJob(ctx context.Context, t *Ticket, s Submission, p payload) error {
	if p.large() {
		if err := q.keepObject(ctx, storeInputs, inputName(t.Owner, t.JobID), p.job); err != nil {
			return err
		}
	}
	return q.publishJob(ctx, t, s, p.message)
}

// forget removes what a refused submission has left, so that its id is free.
func (q *Queue) forget(ctx context.Context, t Ticket, p payload) error {
	var err error
	if p.large() {
		err = q.removeInput(ctx, t.Owner, t.JobID)
	}
	return errors.Join(err, q.purgeLog(ctx, t.Owner, t.JobID, 0))
}

// Load fetches a job whose message stands for it; nil at once for any other. Job
// is of use after it. While the broker is away it waits. Errors: *InputError (the
// object is missing or damaged), ErrUnavailable when ctx ends first.
func (d *Delivery) Load(ctx context.Context) error {
	d.jobMu.Lock()
	defer d.jobMu.Unlock()
	d.decode()
	if d.input == nil || d.whole != nil {
		return nil
	}
	body, err := d.q.getObject(ctx, storeInputs, inputName(d.Owner, d.JobID), d.input.Input)
	if err != nil {
		return err
	}
	d.whole = body
	d.job, d.jobErr = schemas.DecodeJob(body)
	if d.jobErr == nil && d.job.Model != d.input.Model {
		d.jobErr = &schemas.FieldError{
			Field: "model", Code: schemas.CodeInvalidRequest,
			Reason: fmt.Sprintf("is %q in the object, but %q in the message", d.job.Model, d.input.Model),
		}
	}
	return nil
}

// decode reads the message, once. The caller holds jobMu.
func (d *Delivery) decode() {
	if d.decoded {
		return
	}
	d.decoded = true
	d.job, d.jobErr = schemas.DecodeJob(d.body)
	if !errors.Is(d.jobErr, schemas.ErrNewerVersion) {
		return
	}
	if input, err := schemas.DecodeInput(d.body); err == nil {
		d.input, d.jobErr = &input, errNotLoaded
	}
}

// errNotLoaded: Load comes first.
var errNotLoaded = errors.New("queue: the job is in the object store and not loaded")
