// Signs what it is asked to, a line of JSON each, by the libraries of npm.
const readline = require("node:readline");
const libraries = { standardwebhooks: require("standardwebhooks"), svix: require("svix") };

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { library, secret, id, at, body } = JSON.parse(line);
  console.log(new libraries[library].Webhook(secret).sign(id, new Date(at * 1000), body));
});
