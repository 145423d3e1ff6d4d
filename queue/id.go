package queue

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/semantic-worker/semantic/schemas"
)

// maxJobID bounds a job id's length, in bytes.
const maxJobID = 128

// NewJobID returns 128 random bits in hex: unguessable, and a valid job id.
func NewJobID() string {
	var b [16]byte
	// crypto/rand.Read never fails; it ends the process if the system has no
	// entropy.
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// ValidJobID reports whether id can be a job id: 1 to 128 letters, digits,
// '_' or '-', so that it is its own [Slug].
func ValidJobID(id string) bool {
	if id == "" || len(id) > maxJobID {
		return false
	}
	for i := range len(id) {
		if !plainByte(id[i]) {
			return false
		}
	}
	return true
}

// sequenceID is the id of a job that was published without one: s, the class
// letter, and the stream sequence that its publisher knows from the PubAck.
func sequenceID(class schemas.Class, sequence uint64) string {
	return "s" + string(class[0]) + "-" + strconv.FormatUint(sequence, 10)
}

// parseSequenceID is the inverse of sequenceID.
func parseSequenceID(id string) (schemas.Class, uint64, bool) {
	if len(id) < 4 || id[0] != 's' || id[2] != '-' {
		return "", 0, false
	}
	sequence, err := strconv.ParseUint(id[3:], 10, 64)
	if err != nil || strings.HasPrefix(id[3:], "0") {
		return "", 0, false
	}
	for _, class := range schemas.Classes() {
		if class[0] == id[1] {
			return class, sequence, true
		}
	}
	return "", 0, false
}

// deliveredID is the id of a stored job. An id in the header that looks like
// one made of a sequence is not honoured: it could be another job's.
func deliveredID(header string, class schemas.Class, sequence uint64) string {
	if ValidJobID(header) {
		if _, _, reserved := parseSequenceID(header); !reserved {
			return header
		}
	}
	return sequenceID(class, sequence)
}
