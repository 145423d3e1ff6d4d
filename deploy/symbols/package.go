package symbols

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// npmPackage is a native package: its platform and the files in its folder of
// libraries, by name.
type npmPackage struct {
	file     string
	platform string
	files    map[string][]byte
}

const (
	binsFolder = "package/bins/"
	// largestFile is far above the largest library (6 MB).
	largestFile = 256 << 20
)

// readPackages reads the native packages among the .tgz files of a folder, by
// platform. What a package is for is taken from its content, not its name.
func readPackages(dir string) (map[string]npmPackage, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	packages := map[string]npmPackage{}
	for _, name := range names {
		p, err := readPackage(name)
		if err != nil {
			return nil, fmt.Errorf("package %s: %w", name, err)
		}
		if p.platform == "" {
			continue
		}
		if other, twice := packages[p.platform]; twice {
			return nil, fmt.Errorf("two packages of %s: %s and %s", p.platform, other.file, p.file)
		}
		packages[p.platform] = p
	}
	return packages, nil
}

func readPackage(name string) (npmPackage, error) {
	p := npmPackage{file: filepath.Base(name), files: map[string][]byte{}}
	f, err := os.Open(name)
	if err != nil {
		return p, fmt.Errorf("open: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return p, fmt.Errorf("unzip: %w", err)
	}
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return p, nil
		}
		if err != nil {
			return p, fmt.Errorf("unpack: %w", err)
		}
		inside, ok := strings.CutPrefix(header.Name, binsFolder)
		if !ok || header.Typeflag != tar.TypeReg {
			continue
		}
		platform, file := path.Split(inside)
		platform = strings.TrimSuffix(platform, "/")
		switch {
		case platform == "" || strings.Contains(platform, "/"):
			continue
		case p.platform != "" && p.platform != platform:
			return p, fmt.Errorf("it is for %s and %s", p.platform, platform)
		case header.Size > largestFile:
			return p, fmt.Errorf("%s has %d bytes", header.Name, header.Size)
		}
		p.platform = platform
		if p.files[file], err = io.ReadAll(archive); err != nil {
			return p, fmt.Errorf("unpack %s: %w", header.Name, err)
		}
	}
}
