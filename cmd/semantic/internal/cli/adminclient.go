package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// adminFlags are the settings of commands that ask the admin interface.
func adminFlags() []string { return []string{"admin-url", "admin-key-file", "data-dir"} }

// adminClient speaks to an admin interface.
type adminClient struct {
	base, key, user string
}

// adminClient finds the interface and its key.
func (a *app) adminClient(c *config.Loaded) (*adminClient, error) {
	dir, err := a.dataDir(c)
	if err != nil {
		return nil, err
	}
	client := &adminClient{base: strings.TrimSuffix(c.AdminURL, "/"), user: a.operator()}
	if client.base == "" {
		if client.base, err = localAdmin(dir); err != nil {
			return nil, withHint(err, "Is `semantic serve` (or a gateway) running here, with this --data-dir? --admin-url names one elsewhere.")
		}
	}
	file := c.AdminKeyFile
	if file == "" {
		file = filepath.Join(dir, adminKeyFile)
	}
	keys, err := readAdminKeys(c, file)
	if err != nil {
		return nil, err
	}
	client.key = keys[0].Key
	return client, nil
}

// localAdmin is where a process of this machine with that data directory has its
// interface. What a process that is gone has left is not believed.
func localAdmin(dir string) (string, error) {
	none := fmt.Errorf("no admin interface of %s", dir)
	text, err := os.ReadFile(filepath.Join(dir, adminURLFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", none
	}
	if err != nil {
		return "", fmt.Errorf("find the admin interface: %w", err)
	}
	lock := flock.New(filepath.Join(dir, adminLockFile), flock.SetPermissions(0o600))
	free, err := lock.TryRLock()
	if err != nil {
		return "", fmt.Errorf("find the admin interface: %w", err)
	}
	if free {
		return "", errors.Join(none, lock.Unlock())
	}
	return strings.TrimSpace(string(text)), nil
}

// operator is who runs this command, for the logs of others.
func (a *app) operator() string {
	user := a.Getenv("USER")
	if user == "" {
		user = a.Getenv("LOGNAME")
	}
	if user == "" {
		user = "somebody"
	}
	return user + "@" + hostToken()
}

// do sends a request and reads the answer into what.
func (c *adminClient) do(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, lookBound)
	defer cancel()
	var text io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("admin interface: %w", err)
		}
		text = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+"/admin/v1/"+path, text)
	if err != nil {
		return fmt.Errorf("admin interface: %w", err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	r.Header.Set("X-Semantic-User", c.user)
	// The key goes to the place that was named, and nowhere that that sends to.
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, Proxy: nil},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(r)
	if err != nil {
		return withHint(fmt.Errorf("admin interface: %w", err),
			"Is `semantic serve` (or a gateway) running there? --admin-url names another one.")
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxEvent))
	if err != nil {
		return fmt.Errorf("admin interface: read its answer: %w", err)
	}
	if answer.StatusCode >= http.StatusMultipleChoices {
		return adminError(answer.StatusCode, data)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return withHint(fmt.Errorf("admin interface: its answer cannot be read: %w", err), "Is %s that of semantic?", c.base)
	}
	return nil
}

// adminError is the error that an interface answered with.
func adminError(status int, data []byte) error {
	var body openai.ErrorBody
	if json.Unmarshal(data, &body) != nil || body.Error.Code == nil {
		return fmt.Errorf("admin interface: status %d, and not its own words: is it that of semantic?", status)
	}
	err := fmt.Errorf("admin interface: %w", &body.Error)
	if *body.Error.Code == schemas.CodeUnauthorized {
		return withHint(err, "--admin-key-file names the file with its key; that server may have another --data-dir.")
	}
	return err
}
