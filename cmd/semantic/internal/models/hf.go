package models

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// preferred are the quantisations that are taken where none is named, best
// first: small enough for most machines, good enough for most purposes.
var preferred = []string{"Q4_K_M", "Q8_0", "Q4_0", "Q4_1"}

// maxListing bounds the answer of a repository's listing in bytes, and
// maxPages the number of answers.
const (
	maxListing = 32 << 20
	maxPages   = 100
)

// hfRef is hf:OWNER/REPO/FILE.gguf or hf:OWNER/REPO[:QUANT].
type hfRef struct{ repo, file, quant string }

func parseHF(ref string) (hfRef, error) {
	bad := func(problem string) (hfRef, error) {
		return hfRef{}, &RefError{Ref: ref, Problem: problem, Advice: "It is like hf:OWNER/REPO/FILE.gguf or hf:OWNER/REPO:Q4_K_M."}
	}
	parts := strings.SplitN(strings.TrimPrefix(ref, "hf:"), "/", 3)
	if len(parts) < 2 || parts[0] == "" || parts[1] == "" {
		return bad("not OWNER/REPO")
	}
	var r hfRef
	if len(parts) == 3 {
		r.repo, r.file = parts[0]+"/"+parts[1], parts[2]
		if !strings.HasSuffix(r.file, ".gguf") {
			return bad("the file is not a .gguf")
		}
	} else {
		repo, quant, named := strings.Cut(parts[1], ":")
		if named && quant == "" || repo == "" {
			return bad("no quantisation after the colon")
		}
		r.repo, r.quant = parts[0]+"/"+repo, quant
	}
	for part := range strings.SplitSeq(r.repo+"/"+r.file, "/") {
		if part == "." || part == ".." || strings.ContainsAny(part, "?#%\\") {
			return bad("not a name that a repository can have")
		}
	}
	return r, nil
}

// hub is one Hugging Face server.
type hub struct {
	store    *Store
	endpoint *url.URL
	token    string
}

func (s *Store) pullHuggingFace(ctx context.Context, ref string, o PullOptions) (Model, error) {
	r, err := parseHF(ref)
	if err != nil {
		return Model{}, err
	}
	if o.Endpoint == "" {
		o.Endpoint = DefaultEndpoint
	}
	endpoint, err := url.Parse(strings.TrimSuffix(o.Endpoint, "/"))
	if err != nil || endpoint.Host == "" {
		return Model{}, &RefError{Ref: "HF_ENDPOINT", Problem: "not an address", Advice: "It is like https://HOST."}
	}
	h := &hub{store: s, endpoint: endpoint, token: o.Token}
	if o.Name != "" && r.file == "" {
		// Known without asking the server: present models need no network.
		if m, err := s.present(o.Name, ref, o); err == nil {
			return m, nil
		}
	}
	var parts []part
	if r.file != "" {
		for _, name := range setOf(r.file) {
			parts = append(parts, h.part(r.repo, name))
		}
	} else if parts, err = h.choose(ctx, r); err != nil {
		return Model{}, err
	}
	if o.SHA256 != "" {
		switch {
		case len(parts) > 1:
			return Model{}, &RefError{
				Ref: ref, Problem: "--sha256 cannot be that of a split set", Advice: "Leave it out: the server tells the hashes.",
			}
		case parts[0].sha256 != "" && parts[0].sha256 != o.SHA256:
			return Model{}, &AlteredError{File: ref, Want: "sha256 " + o.SHA256, Got: parts[0].sha256}
		}
		parts[0].sha256 = o.SHA256
	}
	if o.Name == "" {
		o.Name = nameOf(parts[0].name)
	}
	return s.pullParts(ctx, ref, parts, o)
}

func (h *hub) part(repo, file string) part {
	return part{url: h.endpoint.JoinPath(repo, "resolve", "main", file), name: path.Base(file), token: h.token, huggingFace: true}
}

// entry is a file in a repository's listing.
type entry struct {
	Type string `json:"type"`
	Path string `json:"path"`
	Size int64  `json:"size"`
	LFS  *struct {
		OID  string `json:"oid"`
		Size int64  `json:"size"`
	} `json:"lfs"`
}

// choose finds the files of the wanted quantisation in a repository.
func (h *hub) choose(ctx context.Context, r hfRef) ([]part, error) {
	entries, err := h.list(ctx, r.repo)
	if err != nil {
		return nil, err
	}
	byPath := map[string]entry{}
	var first []string // of each model the first file
	for _, e := range entries {
		base := strings.ToLower(path.Base(e.Path))
		if e.Type != "file" || !strings.HasSuffix(base, ".gguf") || strings.HasPrefix(base, "mmproj") {
			continue
		}
		byPath[e.Path] = e
		if setOf(e.Path)[0] == e.Path {
			first = append(first, e.Path)
		}
	}
	slices.Sort(first)
	ref := "hf:" + r.repo
	if len(first) == 0 {
		return nil, &RefError{Ref: ref, Problem: "the repository holds no GGUF file", Advice: "Look for one whose name ends in -GGUF."}
	}
	found := ofQuant(first, r.quant)
	if r.quant == "" {
		for _, q := range preferred {
			if found = ofQuant(first, q); len(found) > 0 {
				break
			}
		}
		if len(first) == 1 {
			found = first
		}
	}
	if len(found) != 1 {
		problem := fmt.Sprintf("%d files fit", len(found))
		if len(found) == 0 {
			problem, found = "no file fits", first
		}
		return nil, &RefError{
			Ref: ref + quantSuffix(r.quant), Problem: problem,
			Advice: "Name one of them, as hf:OWNER/REPO/FILE: " + strings.Join(found, ", "),
		}
	}
	var parts []part
	for _, name := range setOf(found[0]) {
		e, ok := byPath[name]
		if !ok {
			return nil, &RefError{Ref: ref, Problem: "of its split set " + name + " is missing", Advice: "Choose another file of the repository."}
		}
		p := h.part(r.repo, name)
		p.size = e.Size
		if e.LFS != nil && hexSHA256.MatchString(e.LFS.OID) {
			p.sha256, p.size = strings.ToLower(e.LFS.OID), e.LFS.Size
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func quantSuffix(quant string) string {
	if quant == "" {
		return ""
	}
	return ":" + quant
}

// ofQuant are the files whose name, or folder, says this quantisation as a
// word of its own.
func ofQuant(files []string, quant string) (found []string) {
	if quant == "" {
		return nil
	}
	quant = strings.ToUpper(quant)
	for _, f := range files {
		words := strings.FieldsFunc(strings.ToUpper(strings.TrimSuffix(f, ".gguf")), func(r rune) bool { return strings.ContainsRune("-./ ", r) })
		if slices.Contains(words, quant) {
			found = append(found, f)
		}
	}
	return found
}

// list returns all files of a repository.
func (h *hub) list(ctx context.Context, repo string) ([]entry, error) {
	u := h.endpoint.JoinPath("api", "models", repo, "tree", "main")
	u.RawQuery = "recursive=1"
	var all []entry
	for range maxPages {
		page, next, err := h.page(ctx, u, repo)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == nil {
			return all, nil
		}
		u = next
	}
	return nil, &RefError{Ref: "hf:" + repo, Problem: "its listing does not end", Advice: "Name a file of it: hf:OWNER/REPO/FILE.gguf."}
}

func (h *hub) page(ctx context.Context, u *url.URL, repo string) ([]entry, *url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, nil, fmt.Errorf("list hf:%s: %w", repo, err)
	}
	h.store.prepare(req, h.token)
	resp, err := h.store.client(nil).Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("list hf:%s: %w", repo, withoutURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, &HTTPError{What: "hf:" + repo, Status: resp.StatusCode, HuggingFace: true, Token: h.token != ""}
	}
	var page []entry
	if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, maxListing)).Decode(&page); err != nil {
		return nil, nil, fmt.Errorf("list hf:%s: the server's answer: %w", repo, err)
	}
	return page, nextPage(u, resp.Header.Get("Link")), nil
}

// nextPage reads a Link header; a page of another host is not followed.
func nextPage(u *url.URL, link string) *url.URL {
	for l := range strings.SplitSeq(link, ",") {
		target, params, _ := strings.Cut(l, ";")
		if !strings.Contains(params, `rel="next"`) {
			continue
		}
		next, err := u.Parse(strings.Trim(strings.TrimSpace(target), "<>"))
		if err == nil && next.Host == u.Host && next.Scheme == u.Scheme {
			return next
		}
	}
	return nil
}
