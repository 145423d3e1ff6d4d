package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A backup is a folder with two files for each stream: what the stream is, in
// JSON, and the server's own snapshot of its messages, with their sequences.
const (
	backupInfo = ".json"
	backupData = ".snapshot"

	backupDirMode  = 0o700
	backupFileMode = 0o600

	// backupChunk is the size of the messages that a snapshot travels in.
	backupChunk = 128 << 10
)

// BackupStream is what a backup has of one stream.
type BackupStream struct {
	Stream   string `json:"stream"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
}

// backupMeta is the answer to a request for a snapshot, and what a restore sends
// back; the server knows its own fields.
type backupMeta struct {
	Config json.RawMessage `json:"config"`
	State  json.RawMessage `json:"state"`
}

// Backup writes every stream to the folder dir, which must be empty or not
// there. What lives only as long as its writer, the registry and leases, is left
// out. Each stream is as it was at one instant, but not all at the same: nobody
// should be working meanwhile. Errors: ErrInvalid, ErrForbidden, ErrUnavailable.
func (q *Queue) Backup(ctx context.Context, dir string) ([]BackupStream, error) {
	switch entries, err := os.ReadDir(dir); {
	case err == nil && len(entries) > 0:
		return nil, fmt.Errorf("%w: %s is not empty, and nothing is overwritten", ErrInvalid, dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := os.MkdirAll(dir, backupDirMode); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var list []BackupStream
	for _, name := range keptStreams() {
		have, err := q.backupStream(ctx, dir, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return list, fmt.Errorf("queue: back up %s: %w", name, err)
		}
		list = append(list, have)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: nothing to back up", ErrNoTopology)
	}
	return list, nil
}

// keptStreams are the streams whose messages outlive their writers.
func keptStreams() []string {
	lived := []string{bucketStream(bucketWorkers), bucketStream(bucketLeases), bucketStream(bucketAgents)}
	return slices.DeleteFunc(allStreams(), func(name string) bool { return slices.Contains(lived, name) })
}

func (q *Queue) backupStream(ctx context.Context, dir, name string) (have BackupStream, err error) {
	inbox := q.nc.NewInbox()
	sub, err := q.nc.SubscribeSync(inbox)
	if err != nil {
		return have, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only if the connection is closed
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return have, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	var meta backupMeta
	err = q.askAPI(ctx, "STREAM.SNAPSHOT."+name,
		map[string]any{"deliver_subject": inbox, "no_consumers": true, "chunk_size": backupChunk}, &meta)
	if err != nil {
		return have, err
	}
	if have, err = meta.read(name); err != nil {
		return have, err
	}
	text, err := json.Marshal(meta)
	if err != nil {
		return have, fmt.Errorf("%w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, name+backupData), os.O_CREATE|os.O_EXCL|os.O_WRONLY, backupFileMode)
	if err != nil {
		return have, err //nolint:wrapcheck // names the file; wrapped by the caller
	}
	if err := errors.Join(q.receive(ctx, sub, file), file.Sync(), file.Close()); err != nil {
		return have, err
	}
	// The description last: without it the data counts for nothing.
	return have, os.WriteFile(filepath.Join(dir, name+backupInfo), text, backupFileMode) //nolint:wrapcheck // as above
}

// receive writes the chunks of a snapshot.
func (q *Queue) receive(ctx context.Context, sub *nats.Subscription, to io.Writer) error {
	for {
		bounded, cancel := q.link.attempt(ctx, q.config.SubmitTimeout)
		m, err := sub.NextMsgWithContext(bounded)
		cancel()
		if err != nil {
			return fmt.Errorf("%w: snapshot: %w", ErrUnavailable, err)
		}
		if len(m.Data) == 0 {
			if status := m.Header.Get("Status"); status != "" && status != "204" {
				return fmt.Errorf("%w: snapshot: %s %s", ErrUnavailable, status, m.Header.Get("Description"))
			}
			return nil
		}
		// The server sends on when it is told that a chunk is here.
		if m.Reply != "" {
			if err := m.Respond(nil); err != nil {
				return fmt.Errorf("%w: snapshot: %w", ErrUnavailable, err)
			}
		}
		if _, err := to.Write(m.Data); err != nil {
			return fmt.Errorf("%w", err)
		}
	}
}

func (m backupMeta) read(name string) (BackupStream, error) {
	var state struct {
		Messages uint64 `json:"messages"`
		Bytes    uint64 `json:"bytes"`
	}
	if err := json.Unmarshal(m.State, &state); err != nil {
		return BackupStream{}, fmt.Errorf("state: %w", err)
	}
	return BackupStream{Stream: name, Messages: state.Messages, Bytes: state.Bytes}, nil
}

// Restore brings a backup into this broker: every stream with its messages and
// their sequences, with as many replicas as streams have here. A stream that is
// there and empty gives way; one that has messages makes the whole restore
// refuse (ErrNotEmpty) before anything is changed. If it fails half-way, what it
// had restored is removed. Other errors: ErrInvalid, ErrForbidden, ErrUnavailable.
func (q *Queue) Restore(ctx context.Context, dir string) (list []BackupStream, err error) {
	metas := make(map[string]backupMeta)
	for _, name := range keptStreams() {
		text, err := os.ReadFile(filepath.Join(dir, name+backupInfo))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var meta backupMeta
		if err == nil {
			err = json.Unmarshal(text, &meta)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: backup of %s: %w", ErrInvalid, name, err)
		}
		have, err := meta.read(name)
		if err != nil {
			return nil, fmt.Errorf("%w: backup of %s: %w", ErrInvalid, name, err)
		}
		metas[name] = meta
		list = append(list, have)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: there is no backup in %s", ErrInvalid, dir)
	}
	if err := q.makeRoom(ctx, list); err != nil {
		return nil, err
	}
	for i, s := range list {
		if err := q.restoreStream(ctx, dir, s.Stream, metas[s.Stream]); err != nil {
			err = fmt.Errorf("queue: restore %s: %w", s.Stream, err)
			// Also where it was interrupted: half a backup is none.
			bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), q.config.SubmitTimeout)
			defer cancel()
			for _, done := range list[:i] {
				err = errors.Join(err, q.js.DeleteStream(bounded, done.Stream))
			}
			return nil, err
		}
		q.streams.Delete(s.Stream)
	}
	return list, nil
}

// makeRoom removes the streams that are there and empty.
func (q *Queue) makeRoom(ctx context.Context, list []BackupStream) error {
	var there, full []string
	for _, s := range list {
		var info *jetstream.StreamInfo
		err := q.retry(ctx, func(ctx context.Context) error {
			stream, err := q.js.Stream(ctx, s.Stream)
			if err != nil {
				return fmt.Errorf("queue: stream %s: %w", s.Stream, err)
			}
			info = stream.CachedInfo()
			return nil
		})
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
		case err != nil:
			return err
		case info.State.Msgs > 0:
			full = append(full, s.Stream)
		default:
			there = append(there, s.Stream)
		}
	}
	if len(full) > 0 {
		return fmt.Errorf("%w: these streams have messages here already: %s", ErrNotEmpty, strings.Join(full, ", "))
	}
	for _, name := range there {
		err := q.onceOn(ctx, apiPrefix+"STREAM.DELETE."+name, func(ctx context.Context) error {
			return q.js.DeleteStream(ctx, name)
		})
		if err != nil {
			return fmt.Errorf("queue: make room for %s: %w", name, err)
		}
	}
	return nil
}

func (q *Queue) restoreStream(ctx context.Context, dir, name string, meta backupMeta) error {
	var config map[string]any
	if err := json.Unmarshal(meta.Config, &config); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	config["num_replicas"] = q.replicas()
	file, err := os.Open(filepath.Join(dir, name+backupData))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	defer func() { _ = file.Close() }() // only read
	var answer struct {
		Deliver string `json:"deliver_subject"`
	}
	if err := q.askAPI(ctx, "STREAM.RESTORE."+name, map[string]any{"config": config, "state": meta.State}, &answer); err != nil {
		return err
	}
	buffer := make([]byte, backupChunk)
	for {
		n, err := io.ReadFull(file, buffer)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w", err)
		}
		// A chunk is confirmed before the next is sent; one without data ends it, and
		// is answered with what has become of the stream.
		m, sent := q.sendChunk(ctx, answer.Deliver, buffer[:n])
		if sent != nil {
			return sent
		}
		if n == 0 {
			return apiAnswer(m.Data, nil)
		}
	}
}

func (q *Queue) sendChunk(ctx context.Context, subject string, chunk []byte) (*nats.Msg, error) {
	ctx, cancel := q.link.attempt(ctx, q.transferTime(int64(len(chunk)))+q.config.SubmitTimeout)
	defer cancel()
	m, err := q.nc.RequestWithContext(ctx, subject, chunk)
	// Another member may restore it, of whose interest ours has not heard yet: then
	// nobody has the chunk.
	for errors.Is(err, nats.ErrNoResponders) && sleep(ctx, retryFirst) == nil {
		m, err = q.nc.RequestWithContext(ctx, subject, chunk)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if len(m.Data) > 0 && len(chunk) > 0 {
		return m, apiAnswer(m.Data, nil)
	}
	return m, nil
}

// askAPI makes a request of the JetStream API that nats.go does not know.
func (q *Queue) askAPI(ctx context.Context, verb string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	return q.onceOn(ctx, apiPrefix+verb, func(ctx context.Context) error {
		m, err := q.nc.RequestWithContext(ctx, apiPrefix+verb, body)
		if err != nil {
			return fmt.Errorf("%s: %w", verb, err)
		}
		return apiAnswer(m.Data, answer)
	})
}

// apiAnswer reads an answer of the JetStream API: its error, or into answer.
func apiAnswer(data []byte, answer any) error {
	var failed struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(data, &failed); err != nil {
		return fmt.Errorf("%w", err)
	}
	if failed.Error != nil {
		return failed.Error
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("%w", err)
	}
	return nil
}
