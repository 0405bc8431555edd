// BullMQ's side of bench/timers.sh: delayed jobs instead of timers.
//
//     node timers.js SOCKET COUNT ROUNDS   arms COUNT jobs, resets and cancels them; prints "arm N" … per second
//     node timers.js SOCKET COUNT fire     COUNT jobs due in one second; prints "fired N" per second, "late-p99 MS"

import { Queue, Worker } from "bullmq";
import IORedis from "ioredis";

const [socket, countText, mode] = process.argv.slice(2);
const count = Number(countText);
const connection = new IORedis({ path: socket, maxRetriesPerRequest: null });
const batch = 500;
const hour = 3600 * 1000;

async function inBatches(work) {
    const start = process.hrtime.bigint();
    for (let first = 0; first < count; first += batch) {
        const numbers = Array.from({ length: Math.min(batch, count - first) }, (_, i) => first + i);
        await work(numbers);
    }
    return count / (Number(process.hrtime.bigint() - start) / 1e9);
}

const options = { removeOnComplete: true, removeOnFail: true };

async function round(number) {
    const queue = new Queue(`timers-${number}`, { connection });
    let jobs = [];
    const arm = await inBatches(async (numbers) => {
        const added = await queue.addBulk(
            numbers.map((n) => ({ name: "close", data: {}, opts: { ...options, delay: 100 * hour + n } })),
        );
        jobs.push(...added);
    });
    const reset = await inBatches((numbers) => Promise.all(numbers.map((n) => jobs[n].changeDelay(200 * hour + n))));
    const cancel = await inBatches((numbers) => Promise.all(numbers.map((n) => jobs[n].remove())));
    console.log(`arm ${Math.round(arm)}\nreset ${Math.round(reset)}\ncancel ${Math.round(cancel)}`);
    await queue.obliterate({ force: true });
    await queue.close();
}

async function fire() {
    const queue = new Queue("firing", { connection });
    const lead = 2000 + count / 5;
    const due = Date.now() + lead;
    for (let first = 0; first < count; first += batch) {
        const numbers = Array.from({ length: Math.min(batch, count - first) }, (_, i) => first + i);
        await queue.addBulk(
            numbers.map((n) => {
                const at = due + (n * 1000) / count;
                return { name: "close", data: { at }, opts: { ...options, delay: at - Date.now() } };
            }),
        );
    }
    const late = [];
    await new Promise((resolve) => {
        const worker = new Worker(
            "firing",
            async (job) => {
                late.push(Date.now() - job.data.at);
                if (late.length === count) resolve();
            },
            { connection: connection.duplicate(), concurrency: 256 },
        );
        worker.on("error", (error) => console.error(error));
    });
    const seconds = (Date.now() - due) / 1000;
    late.sort((a, b) => a - b);
    console.log(`fired ${Math.round(count / seconds)}\nlate-p99 ${late[Math.floor(count * 0.99)].toFixed(1)}`);
}

if (mode === "fire") await fire();
else for (let i = 0; i < Number(mode); i++) await round(i);
process.exit(0);
