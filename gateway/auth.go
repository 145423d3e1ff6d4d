package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/semantic-worker/semantic/queue"
)

// ownerLocal owns every job of a gateway without API keys.
const ownerLocal = "local"

// keyring knows whose request it is: by the keys of the configuration, which it
// has as hashes, and by those that are kept in the queue. Immutable, so safe for
// concurrent use.
type keyring struct {
	queue  *queue.Queue
	hashes [][sha256.Size]byte
	owners []string
}

func newKeyring(q *queue.Queue, keys []string) *keyring {
	k := &keyring{queue: q}
	for _, key := range keys {
		k.hashes = append(k.hashes, sha256.Sum256([]byte(key)))
		k.owners = append(k.owners, ownerOf(key))
	}
	return k
}

// ownerOf derives an owner from a key: the same at every gateway and after
// every restart, and of no help in finding the key.
func ownerOf(key string) string {
	sum := sha256.Sum256([]byte("semantic owner\x00" + key))
	return "k" + hex.EncodeToString(sum[:12])
}

// owner says whose request this is, "" if a key is needed and this is none. The
// comparison takes the same time whichever key matches, and whether one does. The
// error is the queue's, of which the keys could not be read yet.
func (k *keyring) owner(r *http.Request) (string, error) {
	key := keyFrom(r)
	given := sha256.Sum256([]byte(key))
	found := -1
	for i := range k.hashes {
		same := subtle.ConstantTimeCompare(k.hashes[i][:], given[:])
		found = subtle.ConstantTimeSelect(same, i, found)
	}
	if found >= 0 {
		return k.owners[found], nil
	}
	named, required, err := k.queue.FindKey(r.Context(), key)
	switch {
	case err != nil:
		return "", err
	case named.Name != "":
		return named.Owner(), nil
	case required || len(k.hashes) > 0:
		return "", nil
	}
	return ownerLocal, nil
}

// keyFrom reads the key from where OpenAI's, Azure's and Anthropic's clients put it.
func keyFrom(r *http.Request) string {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	if key := r.Header.Get("X-Api-Key"); key != "" {
		return key
	}
	return r.Header.Get("Api-Key")
}
