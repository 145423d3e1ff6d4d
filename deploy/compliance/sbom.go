package compliance

import (
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/semantic-worker/semantic/deploy"
)

// ErrSBOM is wrapped by every error of a bill of materials that is wrong or not
// complete.
var ErrSBOM = errors.New("bill of materials")

const (
	syftMod   = "deploy/tools/sbom/go.mod"
	syftPath  = "github.com/anchore/syft"
	ownModule = "github.com/semantic-worker/semantic"
)

// Bills makes CycloneDX 1.6 documents with syft, completes them, and validates
// them against the published schema.
type Bills struct {
	// Root is the folder of this module, Out where the documents are written.
	Root, Out string
	// Release is the version that the documents name.
	Release string
	Lock    deploy.Lock
	Entries Entries
	Modules []Module

	syft, syftVersion string
	schema            validator
	// stamp is the time of the commit, so that the same source gives the same
	// document.
	stamp string
}

// Open gets syft and the schema ready.
func (b *Bills) Open(ctx context.Context) error {
	var err error
	if b.syft, err = buildTool(ctx, b.Root, syftMod, syftPath+"/cmd/syft", "syft"); err != nil {
		return err
	}
	if _, b.syftVersion, err = moduleDir(ctx, b.Root, syftMod, syftPath); err != nil {
		return err
	}
	if b.schema, err = openSchema(ctx, b.Root); err != nil {
		return err
	}
	when, err := run(ctx, b.Root, []string{"TZ=UTC"}, "git", "log", "-1", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%cd")
	b.stamp = strings.TrimSpace(string(when))
	return err
}

// Source writes the document of the source: every module that go.mod names for
// the program and its tests, and what the end-to-end tests install. The tools of
// deploy/tools are not part of it. It returns the file's name.
func (b *Bills) Source(ctx context.Context) (string, error) {
	doc, err := b.scan(ctx, "dir:"+b.Root, "--exclude", "./.cache", "--exclude", "./dist", "--exclude", "./bin", "--exclude", "./deploy/tools")
	if err != nil {
		return "", err
	}
	b.complete(doc, map[string]any{"type": "application", "name": "semantic", "version": b.Release}, b.Lock.Runtimes)
	return b.write(doc, "semantic-source.cdx.json")
}

// Binary writes the document of one binary of semantic. Every module that the
// binary says it was built of must be in it, and each of them with a licence. It
// returns the file's name.
func (b *Bills) Binary(ctx context.Context, file string) (string, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrSBOM, file, err)
	}
	var goos, goarch string
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS":
			goos = s.Value
		case "GOARCH":
			goarch = s.Value
		}
	}
	r, ok := b.Lock.Runtime(goos, goarch)
	if !ok || info.Path != ownModule+"/cmd/semantic" {
		return "", fmt.Errorf("%w: %s is %s for %s/%s, not a binary of semantic for a platform of the lock",
			ErrSBOM, file, info.Path, goos, goarch)
	}
	sum, err := hashOf(file)
	if err != nil {
		return "", err
	}
	doc, err := b.scan(ctx, "file:"+file)
	if err != nil {
		return "", err
	}
	b.complete(doc, map[string]any{
		"type": "application", "name": "semantic", "version": b.Release,
		"hashes":     []any{map[string]any{"alg": "SHA-256", "content": sum}},
		"properties": []any{property("semantic:platform", goos+"/"+goarch)},
	}, []deploy.Runtime{r})
	if err := covers(doc, info); err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrSBOM, file, err)
	}
	return b.write(doc, "semantic_"+goos+"_"+goarch+".cdx.json")
}

// covers compares a document with what the binary itself says.
func covers(doc map[string]any, info *buildinfo.BuildInfo) error {
	have := map[string]map[string]any{}
	for _, c := range components(doc) {
		have[str(c, "name")+"@"+str(c, "version")] = c
	}
	var problems []error
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		switch c := have[dep.Path+"@"+dep.Version]; {
		case c == nil:
			problems = append(problems, fmt.Errorf("module %s %s is missing", dep.Path, dep.Version))
		case c["licenses"] == nil:
			problems = append(problems, fmt.Errorf("module %s %s has no licence", dep.Path, dep.Version))
		}
	}
	return errors.Join(problems...)
}

// scan runs syft. It is kept from asking for newer versions of itself.
func (b *Bills) scan(ctx context.Context, source string, args ...string) (map[string]any, error) {
	args = append([]string{"scan", source, "--quiet", "--output", "cyclonedx-json@1.6"}, args...)
	env := []string{"SYFT_CHECK_FOR_APP_UPDATE=false", "SYFT_GOLANG_SEARCH_LOCAL_MOD_CACHE_LICENSES=true"}
	out, err := run(ctx, b.Root, env, b.syft, args...)
	if err != nil {
		return nil, err
	}
	var doc map[string]any
	if err := json.Unmarshal(out, &doc); err != nil {
		return nil, fmt.Errorf("%w: syft: %w", ErrSBOM, err)
	}
	return doc, nil
}

// write gives the document a serial number that is a hash of it, validates it,
// and writes it.
func (b *Bills) write(doc map[string]any, name string) (string, error) {
	delete(doc, "serialNumber")
	data, err := json.Marshal(doc)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSBOM, err)
	}
	doc["serialNumber"] = serial(sha256.Sum256(data))
	if err := b.schema.validate(doc); err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrSBOM, name, err)
	}
	if data, err = json.MarshalIndent(doc, "", "  "); err != nil {
		return "", fmt.Errorf("%w: %w", ErrSBOM, err)
	}
	if err := os.MkdirAll(b.Out, 0o755); err != nil {
		return "", fmt.Errorf("%w: %w", ErrSBOM, err)
	}
	file := filepath.Join(b.Out, name)
	if err := os.WriteFile(file, append(data, '\n'), 0o644); err != nil {
		return "", fmt.Errorf("%w: %w", ErrSBOM, err)
	}
	return file, nil
}

// serial is a UUID (version 8) of a hash.
func serial(sum [32]byte) string {
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80
	h := hex.EncodeToString(sum[:16])
	return "urn:uuid:" + strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

func hashOf(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSBOM, err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}
