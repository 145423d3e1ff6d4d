package queue

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Keys in their bucket: an entry for each name, and one that says whether a key
// is needed at all. That is stored, and does not follow from there being keys: who
// revokes the last one does not mean to let everybody in.
const (
	keyPrefix   = "key-"
	keyRequired = "required"
)

// apiKeyPrefix begins every API key, so that one that leaked is recognised.
const apiKeyPrefix = "sk-semantic-"

// maxKeyName bounds a key's name, in bytes.
const maxKeyName = 64

// Key is what is kept of an API key. The key itself is not.
type Key struct {
	// Name is whose key it is.
	Name string `json:"name"`
	// Hint is the last four characters of the key.
	Hint string `json:"hint"`
	// CreatedAt is the clock of who made it, UTC.
	CreatedAt time.Time `json:"created_at"`
}

// Owner is the owner of the jobs that are sent with the key: the same for a key
// that is made anew under the name.
func (k Key) Owner() string { return "key:" + k.Name }

// storedKey is an entry of the bucket.
type storedKey struct {
	Key
	// Hash is the hex SHA-256 of the key, which has 256 random bits.
	Hash string `json:"hash"`
}

// ValidKeyName reports whether name can be a key's: 1 to 64 letters, digits,
// '_', '-' or '.'.
func ValidKeyName(name string) bool {
	if name == "" || len(name) > maxKeyName {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r > 127 || r != '.' && !plainByte(byte(r)) })
}

// AddKey makes an API key and returns it: it is stored hashed and cannot be read
// again. From then on every gateway wants a key. Errors: ErrInvalid (the name),
// ErrKeyExists, ErrUnavailable, after which the key may exist and be known to
// nobody: revoke it.
func (q *Queue) AddKey(ctx context.Context, name string) (string, error) {
	if !ValidKeyName(name) {
		return "", fmt.Errorf("%w: key name %q: want 1 to %d letters, digits, '_', '-' or '.'", ErrInvalid, name, maxKeyName)
	}
	var random [32]byte
	// crypto/rand.Read never fails; it ends the process if the system has no entropy.
	_, _ = rand.Read(random[:])
	key := apiKeyPrefix + base64.RawURLEncoding.EncodeToString(random[:])
	hash := hashKey(key)
	value, err := json.Marshal(storedKey{
		Key:  Key{Name: name, Hint: key[len(key)-4:], CreatedAt: time.Now().UTC().Truncate(time.Second)},
		Hash: hash,
	})
	if err != nil {
		return "", fmt.Errorf("queue: %w", err)
	}
	err = q.retry(ctx, func(ctx context.Context) error {
		kv, err := q.keyBucket(ctx)
		if err != nil {
			return err
		}
		// First: a gateway that sees the key and not this would let everybody in.
		if _, err := kv.PutString(ctx, keyRequired, "yes"); err != nil {
			return fmt.Errorf("queue: add key: %w", err)
		}
		_, err = kv.Create(ctx, keyPrefix+Slug(name), value)
		if errors.Is(err, jetstream.ErrKeyExists) {
			// Ours, where the answer to the first try was lost.
			entry, err := kv.Get(ctx, keyPrefix+Slug(name))
			switch {
			case err != nil:
				return fmt.Errorf("queue: add key: %w", err)
			case strings.Contains(string(entry.Value()), hash):
				return nil
			}
			return fmt.Errorf("%w: %s", ErrKeyExists, name)
		}
		if err != nil {
			return fmt.Errorf("queue: add key: %w", err)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return key, nil
}

// RevokeKey makes a key worthless, at every gateway that reaches the broker
// within moments. The jobs that were sent with it go on. Errors: ErrNoKey,
// ErrUnavailable.
func (q *Queue) RevokeKey(ctx context.Context, name string) error {
	tried := false
	return q.retry(ctx, func(ctx context.Context) error {
		kv, err := q.keyBucket(ctx)
		if err != nil {
			return err
		}
		_, err = kv.Get(ctx, keyPrefix+Slug(name))
		if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrInvalidKey) {
			if tried {
				return nil
			}
			return fmt.Errorf("%w: %s", ErrNoKey, name)
		}
		if err == nil {
			tried = true
			err = kv.Delete(ctx, keyPrefix+Slug(name))
		}
		if err != nil {
			return fmt.Errorf("queue: revoke key: %w", err)
		}
		return nil
	})
}

// OpenToAll lets gateways serve everybody without a key again, as the owner
// "local". ErrKeysLeft while there are keys.
func (q *Queue) OpenToAll(ctx context.Context) error {
	keys, _, err := q.Keys(ctx)
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		return fmt.Errorf("%w: %d", ErrKeysLeft, len(keys))
	}
	return q.retry(ctx, func(ctx context.Context) error {
		kv, err := q.keyBucket(ctx)
		if err == nil {
			err = kv.Delete(ctx, keyRequired)
		}
		if err != nil {
			return fmt.Errorf("queue: open to all: %w", err)
		}
		return nil
	})
}

// Keys lists the API keys by name, and whether gateways want one: once a key was
// added they do until [Queue.OpenToAll], also when all were revoked. Read from a
// watched cache, which holds while the broker is away. ErrUnavailable and
// ErrNoTopology at the first call.
func (q *Queue) Keys(ctx context.Context) (keys []Key, required bool, err error) {
	if err := q.keys.await(ctx); err != nil {
		return nil, false, err
	}
	q.keys.mu.Lock()
	defer q.keys.mu.Unlock()
	for _, k := range q.keys.byHash {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b Key) int { return cmp.Compare(a.Name, b.Name) })
	return keys, q.keys.isRequired(), nil
}

// FindKey looks an API key up, and says whether one is needed. The zero Key if it
// is nobody's. Errors as of [Queue.Keys]. The time that it takes tells nothing of
// keys: what is compared are hashes.
func (q *Queue) FindKey(ctx context.Context, key string) (found Key, required bool, err error) {
	if err := q.keys.await(ctx); err != nil {
		return Key{}, false, err
	}
	q.keys.mu.Lock()
	defer q.keys.mu.Unlock()
	return q.keys.byHash[hashKey(key)], q.keys.isRequired(), nil
}

func hashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

func (q *Queue) keyBucket(ctx context.Context) (jetstream.KeyValue, error) {
	kv, err := q.js.KeyValue(ctx, bucketKeys)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, fmt.Errorf("%w: bucket %s: %w", ErrNoTopology, bucketKeys, err)
	}
	if err != nil {
		return nil, fmt.Errorf("queue: bucket %s: %w", bucketKeys, err)
	}
	return kv, nil
}

// keyCache is the watched cache of the keys bucket.
type keyCache struct {
	*bucketWatch

	// mu guards what follows; a leaf.
	mu       sync.Mutex
	byHash   map[string]Key
	hashes   map[string]string // by entry, so that a deleted one is found
	required bool
}

func newKeyCache(q *Queue) *keyCache {
	c := &keyCache{bucketWatch: newBucketWatch(q, bucketKeys)}
	c.fill = func(all []jetstream.KeyValueEntry) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.byHash, c.hashes, c.required = make(map[string]Key), make(map[string]string), false
		for _, e := range all {
			c.apply(e)
		}
	}
	c.change = func(e jetstream.KeyValueEntry) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.apply(e)
	}
	return c
}

// isRequired reports whether a key is needed: where there is one, also if somebody
// opened to all while it was being added. mu is held.
func (c *keyCache) isRequired() bool { return c.required || len(c.byHash) > 0 }

// await waits for the first filling, but not for a broker that is away.
func (c *keyCache) await(ctx context.Context) error {
	select {
	case <-c.ready:
		return nil
	default:
	}
	if err := c.q.link.health(); err != nil {
		return err
	}
	ctx, cancel := c.q.link.attempt(ctx, c.q.config.RequestTimeout)
	defer cancel()
	return c.start(ctx)
}

// apply changes the cache by one entry. mu is held.
func (c *keyCache) apply(e jetstream.KeyValueEntry) {
	there := e.Operation() == jetstream.KeyValuePut
	if e.Key() == keyRequired {
		c.required = there
		return
	}
	delete(c.byHash, c.hashes[e.Key()])
	delete(c.hashes, e.Key())
	var k storedKey
	if !there || json.Unmarshal(e.Value(), &k) != nil || k.Hash == "" {
		return
	}
	c.byHash[k.Hash], c.hashes[e.Key()] = k.Key, k.Hash
}
