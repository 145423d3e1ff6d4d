package queue

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Creds is what a NATS credentials file says about its user. A file of
// `semantic nats init` also has the broker's addresses and the authority that
// signed its certificates, so that it is all that a machine needs to join.
type Creds struct {
	// Role and Name are the user's; empty in files made otherwise.
	Role Role
	Name string
	// Key is the user's public key.
	Key string
	// Servers are the broker's addresses as URLs; may be empty.
	Servers []string
	// CA holds certificates in PEM; may be empty.
	CA []byte
}

const (
	// TagRole begins the tag of a user's token that names its role.
	TagRole = "semantic-role:"
	// credsServers begins the line of a credentials file with the addresses.
	credsServers = "# servers: "

	credsToken = "-----BEGIN NATS USER JWT-----"
)

// AppendBroker adds the broker's addresses and authority to the text of a
// credentials file. NATS clients skip both.
func AppendBroker(creds []byte, servers []string, ca []byte) []byte {
	text := append(bytes.TrimSpace(creds), "\n\n"+credsServers+strings.Join(servers, ",")+"\n\n"...)
	return append(text, ca...)
}

// ReadCreds reads a credentials file. It does not check the signature: the
// server does. ErrInvalid if there is no user in it.
func ReadCreds(file string) (Creds, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Creds{}, fmt.Errorf("%w: credentials: %w", ErrInvalid, err)
	}
	c, err := parseCreds(text)
	if err != nil {
		return Creds{}, fmt.Errorf("%w: credentials %s: %w", ErrInvalid, file, err)
	}
	return c, nil
}

func parseCreds(text []byte) (Creds, error) {
	var c Creds
	_, after, found := strings.Cut(string(text), credsToken)
	token := strings.Split(strings.TrimSpace(strings.SplitN(after, "---", 2)[0]), ".")
	if !found || len(token) != 3 {
		return c, fmt.Errorf("no %q", strings.Trim(credsToken, "-"))
	}
	claims, err := base64.RawURLEncoding.DecodeString(token[1])
	if err != nil {
		return c, fmt.Errorf("user token: %w", err)
	}
	var user struct {
		Name    string `json:"name"`
		Subject string `json:"sub"`
		NATS    struct {
			Tags []string `json:"tags"`
		} `json:"nats"`
	}
	if err := json.Unmarshal(claims, &user); err != nil {
		return c, fmt.Errorf("user token: %w", err)
	}
	c.Key = user.Subject
	for _, tag := range user.NATS.Tags {
		if role, ok := strings.CutPrefix(tag, TagRole); ok && slices.Contains(Roles(), Role(role)) {
			c.Role, c.Name = Role(role), user.Name
		}
	}
	for line := range strings.Lines(string(text)) {
		if list, ok := strings.CutPrefix(strings.TrimSpace(line), strings.TrimSpace(credsServers)); ok {
			c.Servers = strings.Split(strings.TrimSpace(list), ",")
		}
	}
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return c, nil
		}
		if block.Type == "CERTIFICATE" {
			c.CA = append(c.CA, pem.EncodeToMemory(block)...)
		}
	}
}
