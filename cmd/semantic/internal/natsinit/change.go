package natsinit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/semantic-worker/semantic/queue"
)

// Add makes credentials for one more user and returns their file. For a
// publisher, every broker's accounts.conf is written anew: changed is true, and
// the brokers have to be told.
func Add(dir string, role queue.Role, name string) (file string, changed bool, err error) {
	if !slices.Contains(queue.Roles(), role) {
		return "", false, fmt.Errorf("%w: role %q", ErrInvalid, role)
	}
	if role == queue.RolePublisher {
		err = validPublisher(name)
	} else {
		err = validName(name)
	}
	if err != nil {
		return "", false, err
	}
	p, err := open(dir)
	if err != nil {
		return "", false, err
	}
	u := user{role, name}
	file = filepath.Join(dir, credsDir, u.file())
	if _, err := os.Stat(file); err == nil {
		return "", false, fmt.Errorf("%w: %s exists, and is not overwritten", ErrInvalid, file)
	}
	if role == queue.RoleWorker {
		folder := filepath.Join(dir, brokersDir, name)
		if _, err := os.Stat(folder); err == nil {
			return "", false, fmt.Errorf("%w: worker %q has its credentials in %s", ErrInvalid, name, folder)
		}
	}
	if role == queue.RolePublisher && p.keys[keyPublisher+name] == nil {
		changed = true
		if err := p.keys.complete([]string{name}); err != nil {
			return "", false, fmt.Errorf("nats: %w", err)
		}
		if err := errors.Join(p.saveKeys(), p.writeAccounts()); err != nil {
			return "", false, fmt.Errorf("nats: %w", err)
		}
	}
	if err := p.creds(file, u); err != nil {
		return "", false, fmt.Errorf("nats: %w", err)
	}
	return file, changed, nil
}

// Renew writes every broker's accounts.conf anew, by the rights of this
// release, and returns the brokers' folders.
func Renew(dir string) ([]string, error) {
	p, err := open(dir)
	if err != nil {
		return nil, err
	}
	if err := p.writeAccounts(); err != nil {
		return nil, fmt.Errorf("nats renew: %w", err)
	}
	return p.brokers()
}
