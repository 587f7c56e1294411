package scrub_test

import (
	"fmt"

	"sallyport/internal/boundary/scrub"
)

// A mask is as long as what it covers, in whichever encoding that came back.
func ExampleSet_String() {
	set := scrub.Compile([]byte("sk-live-4711"))
	for _, text := range []string{"key=sk-live-4711;", "c2stbGl2ZS00NzEx", "sk%2Dlive%2D4711", "nothing"} {
		masked, count := set.String(text)
		fmt.Println(masked, count)
	}
	// Output:
	// key=************; 1
	// **************** 1
	// **************** 1
	// nothing 0
}

// A stream is masked piece by piece, wherever the pieces are cut: what may be the beginning of a secret is held until
// it is known.
func ExampleSet_Stream() {
	stream := scrub.Compile([]byte("sk-live-4711")).Stream()
	var out []byte
	for _, piece := range []string{"your key is sk-li", "ve-47", "11, keep it"} {
		out = stream.Write(out, []byte(piece))
	}
	fmt.Printf("%s\n", stream.Flush(out))
	// Output: your key is ************, keep it
}
