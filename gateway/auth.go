package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"
)

// ownerLocal owns every job of a gateway without API keys.
const ownerLocal = "local"

// keyring knows the API keys by their hashes. It is immutable, so safe for
// concurrent use.
type keyring struct {
	hashes [][sha256.Size]byte
	owners []string
}

func newKeyring(keys []string) *keyring {
	k := &keyring{}
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

func (k *keyring) open() bool { return len(k.hashes) == 0 }

// owner says whose request this is. The comparison takes the same time
// whichever key matches, and whether one does.
func (k *keyring) owner(r *http.Request) (string, bool) {
	if k.open() {
		return ownerLocal, true
	}
	given := sha256.Sum256([]byte(keyFrom(r)))
	found := -1
	for i := range k.hashes {
		same := subtle.ConstantTimeCompare(k.hashes[i][:], given[:])
		found = subtle.ConstantTimeSelect(same, i, found)
	}
	if found < 0 {
		return "", false
	}
	return k.owners[found], true
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
