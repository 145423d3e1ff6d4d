package schemas

import (
	"fmt"
	"strconv"
	"strings"
)

// ChunkID is the id of one server-sent event of a job's stream, written
// <job>:<n>.<k>. It is a pure function of the job's log, so that any gateway
// can go on where another one stopped.
type ChunkID struct {
	// Job is the job's id.
	Job string
	// N is the number of the log event that the chunk was made from; ≥ 1.
	N int64
	// K numbers the chunks of one event from 0.
	K int
}

// String writes the id.
func (c ChunkID) String() string {
	return c.Job + ":" + strconv.FormatInt(c.N, 10) + "." + strconv.Itoa(c.K)
}

// After reports whether c comes later in its stream than other.
func (c ChunkID) After(other ChunkID) bool {
	return c.N > other.N || c.N == other.N && c.K > other.K
}

// ParseChunkID reads an id as [ChunkID.String] writes it.
func ParseChunkID(s string) (ChunkID, error) {
	job, place, _ := strings.Cut(s, ":")
	n, k, _ := strings.Cut(place, ".")
	id := ChunkID{Job: job}
	id.N, _ = strconv.ParseInt(n, 10, 64)
	id.K, _ = strconv.Atoi(k)
	// Writing it again refuses all that was not understood: signs, zeros, parts.
	if !ValidJobID(job) || id.N < 1 || id.K < 0 || id.String() != s {
		return ChunkID{}, fmt.Errorf("%s is not the id of a chunk, like <job>:<n>.<k>", quote(s))
	}
	return id, nil
}
