package compliance

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"

	"github.com/semantic-worker/semantic/deploy"
)

// complete adds to a document of syft what syft cannot know: what the document
// is about, the licences of the Go modules, the native runtimes and the model.
func (b *Bills) complete(doc, subject map[string]any, runtimes []deploy.Runtime) {
	meta, _ := doc["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
		doc["metadata"] = meta
	}
	meta["timestamp"] = b.stamp
	meta["tools"] = map[string]any{"components": []any{
		map[string]any{"type": "application", "author": "anchore", "name": "syft", "version": strings.TrimPrefix(b.syftVersion, "v")},
	}}
	subject["bom-ref"] = "semantic"
	subject["licenses"] = licences("Apache-2.0")
	subject["purl"] = "pkg:golang/" + ownModule + "@" + b.Release
	meta["component"] = subject

	var needs []any
	for _, c := range components(doc) {
		if str(c, "type") != "library" {
			continue
		}
		if str(c, "name") == ownModule {
			c["version"] = b.Release
			c["licenses"] = licences("Apache-2.0")
			needs = append(needs, c["bom-ref"])
		} else if found := b.licencesOf(str(c, "name"), str(c, "version")); len(found) > 0 {
			c["licenses"] = licences(found...)
		}
	}
	add := b.native(runtimes)
	for _, c := range add {
		needs = append(needs, c.(map[string]any)["bom-ref"])
	}
	list, _ := doc["components"].([]any)
	doc["components"] = append(list, add...)
	deps, _ := doc["dependencies"].([]any)
	doc["dependencies"] = append(deps, map[string]any{"ref": "semantic", "dependsOn": needs})
}

// licencesOf returns the licences of a module of the binary, and of the standard
// library.
func (b *Bills) licencesOf(name, version string) []string {
	if name == "stdlib" {
		return []string{"BSD-3-Clause"}
	}
	i := slices.IndexFunc(b.Modules, func(m Module) bool { return m.Path == name && m.Version == version })
	if i < 0 {
		return nil
	}
	return b.Modules[i].Licences
}

// native returns a component for each runtime, with its libraries and what is
// compiled into them, and one for the model.
func (b *Bills) native(runtimes []deploy.Runtime) []any {
	var all []any
	for _, r := range runtimes {
		// A package's name has its own escape in a package URL.
		purl := "pkg:npm/" + strings.Replace(url.PathEscape(r.Package), "@", "%40", 1) + "@" + r.Version
		purl = strings.Replace(purl, "%2F", "/", 1)
		all = append(all, map[string]any{
			"type": "library", "bom-ref": purl, "name": r.Package, "version": r.Version, "purl": purl,
			"licenses":   licences(r.Licence),
			"hashes":     []any{map[string]any{"alg": "SHA-512", "content": integrityHex(r.Integrity)}},
			"properties": []any{property("semantic:delivery", "fetched at first use"), property("semantic:platform", r.OS+"/"+r.Arch)},
			"components": b.parts(r, purl),
		})
	}
	m := b.Lock.DefaultModel
	purl := "pkg:pypi/" + m.Package + "@" + m.Version
	return append(all, map[string]any{
		"type": "machine-learning-model", "bom-ref": purl, "name": m.Name, "version": m.Version, "purl": purl,
		"licenses":   licences(m.Licence),
		"hashes":     []any{map[string]any{"alg": "SHA-256", "content": m.SHA256}},
		"properties": []any{property("semantic:delivery", "fetched at first use"), property("semantic:file", m.Path)},
	})
}

// parts are the works in one runtime: the libraries as files of the first, and
// what is compiled into them.
func (b *Bills) parts(r deploy.Runtime, parent string) []any {
	var parts []any
	for _, n := range b.Entries.Native {
		if len(n.Packages) > 0 {
			continue
		}
		part := map[string]any{
			"type": "library", "bom-ref": parent + "#" + folderName(n.Name), "name": n.Name, "purl": n.PURL, "licenses": licences(n.Licence),
		}
		if n.Version != "" {
			part["version"] = n.Version
		}
		if n.Copyright != "" {
			part["copyright"] = n.Copyright
		}
		var files []any
		var within []string
		for _, lib := range r.Libraries {
			if anyMatch(n.Libraries, lib.Name) {
				files = append(files, map[string]any{
					"type": "file", "name": lib.Name, "hashes": []any{map[string]any{"alg": "SHA-256", "content": lib.SHA256}},
				})
			}
			if anyMatch(n.Within, lib.Name) {
				within = append(within, lib.Name)
			}
		}
		if len(files) == 0 && len(within) == 0 {
			continue
		}
		if len(files) > 0 {
			part["components"] = files
		}
		if len(within) > 0 {
			part["properties"] = []any{property("semantic:compiled-into", strings.Join(within, " "))}
		}
		parts = append(parts, part)
	}
	return parts
}

func licences(ids ...string) []any {
	var list []any
	for _, id := range ids {
		list = append(list, map[string]any{"license": map[string]any{"id": id}})
	}
	return list
}

func property(name, value string) map[string]any {
	return map[string]any{"name": name, "value": value}
}

// integrityHex turns npm's way to write a hash into hex. The lock's check has
// seen that it can be decoded.
func integrityHex(integrity string) string {
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(integrity, "sha512-"))
	if err != nil {
		return ""
	}
	return hex.EncodeToString(sum)
}

// components returns the components at the top of a document.
func components(doc map[string]any) []map[string]any {
	var all []map[string]any
	list, _ := doc["components"].([]any)
	for _, c := range list {
		if m, ok := c.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

func str(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}
