package main

import (
	"os"
	"regexp"
	"strconv"
	"testing"
)

// TestMutantsFit: each mutant changes code that is there, and names a test that is there.
func TestMutantsFit(t *testing.T) {
	t.Chdir("../..")
	if _, err := load(".", "tools/mutants/mutants.yaml"); err != nil {
		t.Error(err)
	}
}

// TestEveryInvariantHasMutants: each line of ARCHITECTURE.md's table is held to removing code from beneath it.
func TestEveryInvariantHasMutants(t *testing.T) {
	t.Chdir("../..")
	mutants, err := load(".", "tools/mutants/mutants.yaml")
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[int]int)
	for _, m := range mutants {
		count[m.Invariant]++
	}
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^\| (\d+) `).FindAllStringSubmatch(string(text), -1)
	if len(lines) < 10 {
		t.Fatalf("found %d invariants in ARCHITECTURE.md", len(lines))
	}
	for _, line := range lines {
		if n, _ := strconv.Atoi(line[1]); count[n] < 2 {
			t.Errorf("invariant %d has %d mutants, want two at least", n, count[n])
		}
	}
}

func TestSpread(t *testing.T) {
	list := []Mutant{{Invariant: 1}, {Invariant: 2}, {Invariant: 3}, {Invariant: 4}}
	for n, want := range map[int][]int{0: {1, 2, 3, 4}, 1: {1}, 2: {1, 3}, 9: {1, 2, 3, 4}} {
		got := spread(list, n)
		if len(got) != len(want) {
			t.Errorf("a sample of %d has %d", n, len(got))
			continue
		}
		for i := range got {
			if got[i].Invariant != want[i] {
				t.Errorf("a sample of %d: got %v", n, got)
			}
		}
	}
}
