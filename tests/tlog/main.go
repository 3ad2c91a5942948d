// Checks a log with verifiers that know nothing of Pulp Tasks: the checksum database of Go (golang.org/x/mod/sumdb), and
// the libraries of transparency-dev. It prints what it has checked, and exits with 1 at the first thing that is wrong.
//
//	verify FOLDER VKEY OLD-CHECKPOINT CONSISTENCY-PROOF INDEX INCLUSION-PROOF
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

func must[T any](value T, err error) T {
	if err != nil {
		fail("%v", err)
	}
	return value
}

// tiles reads hashes by the paths of C2SP tlog-tiles; Go's own database has others.
type tiles struct{ folder string }

func (t tiles) Height() int { return 8 }

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		path := fmt.Sprintf("tile/%d/%s", tile.L, number(tile.N))
		if tile.W < 256 {
			path += fmt.Sprintf(".p/%d", tile.W)
		}
		data, err := os.ReadFile(filepath.Join(t.folder, path))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

func number(n int64) string {
	text := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		text = fmt.Sprintf("x%03d/%s", n%1000, text)
	}
	return text
}

func hashes(file string, skip int) [][]byte {
	head, _, _ := strings.Cut(string(must(os.ReadFile(file))), "\n\n")
	var found [][]byte
	for _, line := range strings.Split(head, "\n")[skip:] {
		found = append(found, must(base64.StdEncoding.DecodeString(line)))
	}
	return found
}

func main() {
	folder, vkey := os.Args[1], os.Args[2]
	verifier := must(note.NewVerifier(vkey))
	signed := must(os.ReadFile(filepath.Join(folder, "checkpoint")))
	checkpoint, _, _, err := log.ParseCheckpoint(signed, verifier.Name(), verifier)
	if err != nil {
		fail("checkpoint: %v", err)
	}
	opened := must(note.Open(signed, note.VerifierList(verifier)))
	fmt.Printf("checkpoint of %d records, signed by %s\n", checkpoint.Size, opened.Sigs[0].Name)

	// The tiles, as Go's checksum database reads them: each one that is read is checked against the root.
	var root tlog.Hash
	copy(root[:], checkpoint.Hash)
	reader := tlog.TileHashReader(tlog.Tree{N: int64(checkpoint.Size), Hash: root}, tiles{folder})
	size := int64(checkpoint.Size)
	indexes := make([]int64, size)
	for n := range indexes {
		indexes[n] = tlog.StoredHashIndex(0, int64(n))
	}
	leaves, err := reader.ReadHashes(indexes)
	if err != nil {
		fail("tiles: %v", err)
	}
	count := int64(0)
	for bundle := int64(0); bundle*256 < size; bundle++ {
		path := filepath.Join(folder, "tile/entries", number(bundle))
		if width := size - bundle*256; width < 256 {
			path += fmt.Sprintf(".p/%d", width)
		}
		data := must(os.ReadFile(path))
		for len(data) > 0 {
			length := binary.BigEndian.Uint16(data)
			if tlog.RecordHash(data[2:2+length]) != leaves[count] {
				fail("entry %d is not that of its leaf", count)
			}
			data = data[2+length:]
			count++
		}
	}
	if count != size {
		fail("there are %d entries", count)
	}
	fmt.Printf("%d leaves and entries\n", count)

	older, _, _, err := log.ParseCheckpoint(must(os.ReadFile(os.Args[3])), verifier.Name(), verifier)
	if err != nil {
		fail("older checkpoint: %v", err)
	}
	path := hashes(os.Args[4], 2)
	err = proof.VerifyConsistency(rfc6962.DefaultHasher, older.Size, checkpoint.Size, path, older.Hash, checkpoint.Hash)
	if err != nil {
		fail("consistency: %v", err)
	}
	fmt.Printf("continues the one of %d records\n", older.Size)

	index := must(strconv.ParseUint(os.Args[5], 10, 64))
	path = hashes(os.Args[6], 3)
	leaf := leaves[index][:]
	err = proof.VerifyInclusion(rfc6962.DefaultHasher, index, checkpoint.Size, leaf, path, checkpoint.Hash)
	if err != nil {
		fail("inclusion: %v", err)
	}
	fmt.Printf("has record %d\n", index)
}
