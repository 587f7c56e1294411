package swarm

// DockerName is what Docker calls a version of a secret.
var DockerName = dockerName
