// Command n8n is what the tests run in containers in the place of n8n. As worker, webhook or start it waits for its
// end; as execute it ends well if the key that it has is the one that it was built to know. It prints that key, which
// nobody may see.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	fmt.Println("the key is", os.Getenv("N8N_ENCRYPTION_KEY"))
	if len(os.Args) > 1 && os.Args[1] == "execute" {
		if len(os.Args) != 3 || os.Args[2] != "--id=canary" ||
			os.Getenv("N8N_ENCRYPTION_KEY") != os.Getenv("TEST_RIGHT_KEY") {
			os.Exit(1)
		}
		return
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	<-ended
}
