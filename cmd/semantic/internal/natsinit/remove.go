package natsinit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/semantic-worker/semantic/queue"
)

// Remove takes a user's credentials back: their file is deleted, and every
// broker's accounts.conf is written anew without them, of which the brokers have
// to be told. A publisher loses its account. The gateway and worker beside a
// broker have the name of its folder.
func Remove(dir string, role queue.Role, name string) error {
	p, err := open(dir)
	if err != nil {
		return err
	}
	u := user{role, name}
	file := filepath.Join(dir, credsDir, u.file())
	creds, err := queue.ReadCreds(file)
	if errors.Is(err, fs.ErrNotExist) {
		file = filepath.Join(dir, brokersDir, name, string(role)+credsSuffix)
		creds, err = queue.ReadCreds(file)
	}
	if err != nil || creds.Role != role || creds.Name != name || validName(name) != nil {
		return fmt.Errorf("%w: there are no credentials of a %s %q in %s", ErrInvalid, role, name, dir)
	}
	account := keySemantic
	switch role {
	case queue.RolePublisher:
		delete(p.keys, keyPublisher+name)
		if err := os.Remove(filepath.Join(dir, authorityDir, keyPublisher+name+keySuffix)); err != nil {
			return fmt.Errorf("nats: %w", err)
		}
	case queue.RoleObserver:
		account = keyObservers
		fallthrough
	case queue.RoleGateway, queue.RoleWorker, queue.RoleAdmin:
		p.revoked = append(p.revoked, revocation{account, creds.Key})
		if err := p.saveRevoked(); err != nil {
			return fmt.Errorf("nats: %w", err)
		}
	}
	if err := errors.Join(p.writeAccounts(), os.Remove(file)); err != nil {
		return fmt.Errorf("nats: %w", err)
	}
	return nil
}

func (p *place) saveRevoked() error {
	var text bytes.Buffer
	for _, r := range p.revoked {
		fmt.Fprintf(&text, "%s %s\n", r.account, r.key)
	}
	return replace(filepath.Join(p.dir, authorityDir, revokedFile), text.Bytes(), secretMode)
}
