package symbols

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// Symbol is a name that is looked up in a library.
type Symbol struct {
	// Library is the library's short name: "llama", "ggml" or "ggml-base".
	Library string
	Name    string
}

// ErrSource is wrapped by errors about Go source that does not have the shape
// that Binding or Own can read: then they must learn the new one.
var ErrSource = errors.New("source not understood")

// Binding lists what the binding looks up when it is loaded. dir is the folder
// of its package pkg/llama: its function Load opens the libraries one after
// another and gives each to functions that prepare symbols.
func Binding(dir string) ([]Symbol, error) {
	s, err := parse(dir)
	if err != nil {
		return nil, err
	}
	load := s.functions["Load"]
	if load == nil {
		return nil, fmt.Errorf("%w: no function Load in %s", ErrSource, dir)
	}
	var found []Symbol
	library := ""
	var problem error
	ast.Inspect(load.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || problem != nil {
			return problem == nil
		}
		if name := called(call); name == "LoadLibrary" {
			library, problem = literal(call, 1)
		} else if f := s.functions[name]; f != nil {
			var names []string
			names, problem = s.prepared(f, map[string]bool{})
			if problem == nil && library == "" {
				problem = fmt.Errorf("%w: %s is called before a library is loaded", ErrSource, name)
			}
			for _, symbol := range names {
				found = append(found, Symbol{library, symbol})
			}
		}
		return true
	})
	if problem == nil && len(found) == 0 {
		problem = fmt.Errorf("%w: Load of %s prepares nothing", ErrSource, dir)
	}
	return found, problem
}

// symbolPattern is what llama.cpp's functions are called.
var symbolPattern = regexp.MustCompile(`^(llama|ggml|gguf)_[a-z0-9_]+$`)

// Own lists what engine/llama looks up beside the binding: dir is its folder.
// It opens one library, and names symbols in string literals only.
func Own(dir string) ([]Symbol, error) {
	s, err := parse(dir)
	if err != nil {
		return nil, err
	}
	library := ""
	names := map[string]bool{}
	var found []Symbol
	var problem error
	for _, file := range s.files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if called(n) != "LoadLibrary" {
					break
				}
				name, err := literal(n, 1)
				if err == nil && library != "" && name != library {
					err = fmt.Errorf("%w: it opens %s and %s", ErrSource, library, name)
				}
				library, problem = name, errors.Join(problem, err)
			case *ast.BasicLit:
				name, err := strconv.Unquote(n.Value)
				if n.Kind == token.STRING && err == nil && symbolPattern.MatchString(name) && !names[name] {
					names[name] = true
					found = append(found, Symbol{Name: name})
				}
			}
			return true
		})
	}
	if problem == nil && (library == "" || len(found) == 0) {
		problem = fmt.Errorf("%w: %s looks up nothing", ErrSource, dir)
	}
	for i := range found {
		found[i].Library = library
	}
	return found, problem
}

// source is a package without its tests.
type source struct {
	files     []*ast.File
	functions map[string]*ast.FuncDecl
}

func parse(dir string) (source, error) {
	s := source{functions: map[string]*ast.FuncDecl{}}
	entries, err := fs.Glob(os.DirFS(dir), "*.go")
	if err != nil {
		return s, fmt.Errorf("list %s: %w", dir, err)
	}
	for _, name := range entries {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), dir+"/"+name, nil, parser.SkipObjectResolution)
		if err != nil {
			return s, fmt.Errorf("parse: %w", err)
		}
		s.files = append(s.files, file)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Body != nil {
				s.functions[f.Name.Name] = f
			}
		}
	}
	return s, nil
}

// prepared lists the symbols that a function prepares, or functions that it
// calls.
func (s source) prepared(f *ast.FuncDecl, seen map[string]bool) ([]string, error) {
	if seen[f.Name.Name] {
		return nil, nil
	}
	seen[f.Name.Name] = true
	var names []string
	var problem error
	ast.Inspect(f.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || problem != nil {
			return problem == nil
		}
		if name := called(call); name == "Prep" {
			var symbol string
			symbol, problem = literal(call, 0)
			names = append(names, symbol)
		} else if inner := s.functions[name]; inner != nil {
			var more []string
			more, problem = s.prepared(inner, seen)
			names = append(names, more...)
		}
		return true
	})
	return names, problem
}

// called is the name of the function or method of a call.
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	default:
		return ""
	}
}

// literal is argument i of a call, which must be a string literal.
func literal(call *ast.CallExpr, i int) (string, error) {
	if i < len(call.Args) {
		if lit, ok := call.Args[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil {
				return text, nil
			}
		}
	}
	return "", fmt.Errorf("%w: argument %d of a call of %s is not a string literal", ErrSource, i+1, called(call))
}
